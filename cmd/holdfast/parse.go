package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// envPrefix begins the name of every variable: --node-id is HOLDFAST_NODE_ID.
const envPrefix = "HOLDFAST_"

// configFlag names the file; a verb without this flag reads none.
const configFlag = "config"

// parse sets flags from args, those that args leave out from the environment, and what is left from the file that
// --config names. It returns the arguments that are no flags, and every fault of all three places.
func parse(flags *pflag.FlagSet, args, environ []string) (rest []string, faults []error) {
	rest, faults = parseArgs(flags, args)
	environment := koanf.New(".")
	err := environment.Load(env.Provider(".", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			name = strings.TrimPrefix(name, envPrefix)
			// An empty variable is an absent one: that is what compose files make of what is not set. Names that are not
			// ours are left alone: Kubernetes puts HOLDFAST_PORT there for a service called holdfast.
			if value == "" {
				return "", nil
			}
			return strings.ToLower(strings.ReplaceAll(name, "_", "-")), value
		},
	}), nil)
	if err != nil {
		faults = append(faults, fmt.Errorf("read the environment: %w", err))
	}
	faults = append(faults, fill(flags, environment, envName)...)
	if f := flags.Lookup(configFlag); f != nil && f.Value.String() != "" {
		faults = append(faults, parseFile(flags, f.Value.String())...)
	}
	return rest, faults
}

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// parseFile fills in flags from a YAML file. A key that is no flag is refused: it is a typing mistake, and what it was
// meant to set would silently stay at its default.
func parseFile(flags *pflag.FlagSet, path string) (faults []error) {
	content := koanf.New(".")
	if err := content.Load(file.Provider(path), yaml.Parser()); err != nil {
		return []error{fmt.Errorf("config %s: %w", path, err)}
	}
	for _, key := range content.Keys() {
		if flags.Lookup(key) == nil || key == configFlag || key == "help" {
			faults = append(faults, fmt.Errorf("config %s: unknown key %q", path, key))
		}
	}
	return append(faults, fill(flags, content, func(flag string) string { return fmt.Sprintf("%s in %s", flag, path) })...)
}

// fill sets the flags that nobody has set yet and that from has a value for. Named is what a fault calls the place.
func fill(flags *pflag.FlagSet, from *koanf.Koanf, named func(flag string) string) (faults []error) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" || !from.Exists(f.Name) {
			return
		}
		text, err := flagText(from.Get(f.Name))
		if err == nil {
			err = set(flags, f, text)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", named(f.Name), err))
		}
	})
	return faults
}

// flagText writes a value as one would on the command line.
func flagText(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", errors.New("has no value")
	case []any:
		var parts []string
		for _, element := range v {
			text, err := flagText(element)
			if err != nil {
				return "", err
			}
			parts = append(parts, text)
		}
		return strings.Join(parts, ","), nil
	case map[string]any:
		return "", errors.New("wants a value or a list, not a map")
	default:
		return fmt.Sprint(v), nil
	}
}

// set gives a flag its value. The library's error repeats the flag's name and the value's type; the cause is enough.
func set(flags *pflag.FlagSet, f *pflag.Flag, text string) error {
	err := flags.Set(f.Name, text)
	if _, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return fmt.Errorf("%q is no %s", text, f.Value.Type())
	}
	return err
}

// parseArgs reads the command line: --name=value, --name value, --switch, -o value, and -- before arguments. It goes on
// after a fault, which the library's own parser does not.
func parseArgs(flags *pflag.FlagSet, args []string) (rest []string, faults []error) {
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			return append(rest, args...), faults
		}
		if len(arg) < 2 || arg[0] != '-' {
			rest = append(rest, arg)
			continue
		}
		name, value, inline := strings.Cut(arg, "=")
		f := lookup(flags, name)
		hasNext := len(args) > 0 && (len(args[0]) < 2 || args[0][0] != '-')
		switch {
		case f == nil:
			faults = append(faults, fmt.Errorf("unknown flag %s", name))
			if !inline && hasNext {
				args = args[1:] // most likely its value: not one fault more
			}
			continue
		case inline:
		case f.NoOptDefVal != "":
			value = f.NoOptDefVal
		case !hasNext:
			faults = append(faults, fmt.Errorf("%s: wants a value", name))
			continue
		default:
			value, args = args[0], args[1:]
		}
		if err := set(flags, f, value); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
	}
	return rest, faults
}

func lookup(flags *pflag.FlagSet, dashed string) *pflag.Flag {
	if name, long := strings.CutPrefix(dashed, "--"); long {
		return flags.Lookup(name)
	}
	if len(dashed) == 2 {
		return flags.ShorthandLookup(dashed[1:])
	}
	return nil
}

// mustChooseOne is a fault unless value is one of choices.
func mustChooseOne(flag, value string, choices ...string) error {
	if slices.Contains(choices, value) {
		return nil
	}
	return fmt.Errorf("%s %q: must be one of %s", flag, value, strings.Join(choices, ", "))
}
