package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const dockerfile = "docker/Dockerfile"

// imageSettings are what the image's ENV sets.
func imageSettings(t *testing.T) map[string]string {
	t.Helper()
	settings := make(map[string]string)
	for _, m := range regexp.MustCompile(`(HOLDFAST_[A-Z_]+)=(\S+)`).FindAllStringSubmatch(read(t, dockerfile), -1) {
		settings[m[1]] = m[2]
	}
	return settings
}

func TestTheImageIsBuiltWithTheGoOfTheModule(t *testing.T) {
	want := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))[1]
	if got := regexp.MustCompile(`golang:(\d+\.\d+)-`).FindStringSubmatch(read(t, dockerfile)); got == nil || got[1] != want {
		t.Errorf("%v, the module needs %s", got, want)
	}
	if !strings.Contains(read(t, "../.dockerignore"), ".git\n") {
		t.Error(".git is sent to the builder")
	}
}

func TestTheImageExposesItsPortsAndRunsAsNobodyInParticular(t *testing.T) {
	text, settings := read(t, dockerfile), imageSettings(t)
	exposed := regexp.MustCompile(`(?m)^EXPOSE (.*)$`).FindStringSubmatch(text)[1]
	for _, name := range []string{"HTTP_ADDR", "CLUSTER_ADDR", "GOSSIP_ADDR"} {
		if port := strings.TrimPrefix(settings["HOLDFAST_"+name], ":"); port == "" || !strings.Contains(exposed, port) {
			t.Errorf("%s is %q, exposed are %s", name, port, exposed)
		}
	}
	for _, line := range []string{"FROM scratch\n", "USER 65532:65532\n", "STOPSIGNAL SIGTERM\n", "CGO_ENABLED=0", "VOLUME " + settings["HOLDFAST_DATA_DIR"]} {
		if !strings.Contains(text, line) {
			t.Errorf("the Dockerfile lacks %q", line)
		}
	}
}

// The health check is run as the image runs it, against nobody: that is a critical node and no wrong usage.
func TestTheHealthCheckOfTheImageAsksForLifeAlone(t *testing.T) {
	m := regexp.MustCompile(`CMD \["/holdfast", (.*check.*)\]`).FindStringSubmatch(read(t, dockerfile))
	if m == nil {
		t.Fatal("no health check")
	}
	args := strings.Split(strings.ReplaceAll(m[1], `"`, ""), ", ")
	if !slices.Contains(args, "--live") {
		t.Errorf("%v asks for more than life", args)
	}
	addr := slices.Index(args, "--addr") + 1
	if want := "127.0.0.1" + imageSettings(t)["HOLDFAST_HTTP_ADDR"]; args[addr] != want {
		t.Errorf("it asks %s, the node is at %s", args[addr], want)
	}
	args[addr] = "127.0.0.1:1"
	if code, output := holdfast(t, nil, args...); code != 2 || !strings.Contains(output, "HOLDFAST CRITICAL") {
		t.Errorf("exit code %d: %s", code, output)
	}
}

type composeService struct {
	Image           string
	Environment     map[string]string
	Networks        map[string]map[string]string
	Volumes         []string
	Ports           []string
	StopGracePeriod string `yaml:"stop_grace_period"`
	ReadOnly        bool   `yaml:"read_only"`
	Healthcheck     any
}

func (s composeService) address() string { return s.Networks["holdfast"]["ipv4_address"] }

func compose(t *testing.T) map[string]composeService {
	t.Helper()
	var file struct {
		Services map[string]composeService
		Volumes  map[string]any
	}
	readYAML(t, "docker/compose.yaml", &file)
	for name, service := range file.Services {
		for _, mount := range service.Volumes {
			source, _, _ := strings.Cut(mount, ":")
			_, named := file.Volumes[source]
			if _, err := os.Stat(filepath.Join("docker", source)); !named && err != nil {
				t.Errorf("%s mounts %s: %v", name, source, err)
			}
		}
	}
	return file.Services
}

func TestTheNodesOfComposeFindEachOtherAndTheirBalancer(t *testing.T) {
	services := compose(t)
	balancer := services["haproxy"]
	addresses, data := make(map[string]bool), make(map[string]bool)
	var gossip []string
	for _, name := range []string{"n1", "n2", "n3"} {
		n := services[name]
		addresses[n.address()], data[n.Volumes[0]] = true, true
		gossip = append(gossip, n.address()+imageSettings(t)["HOLDFAST_GOSSIP_ADDR"])
		if n.Environment["HOLDFAST_NODE_ID"] != name || n.Environment["HOLDFAST_ADVERTISE_ADDR"] != n.address()+imageSettings(t)["HOLDFAST_CLUSTER_ADDR"] {
			t.Errorf("%s at %s: %v", name, n.address(), n.Environment)
		}
		if got := balancer.Environment["HOLDFAST_"+strings.ToUpper(name)]; got != n.address()+imageSettings(t)["HOLDFAST_HTTP_ADDR"] {
			t.Errorf("the balancer looks for %s at %s", name, got)
		}
		if n.Environment["HOLDFAST_TRUSTED_PROXIES"] != balancer.address()+"/32" {
			t.Errorf("%s trusts %s, the balancer is at %s", name, n.Environment["HOLDFAST_TRUSTED_PROXIES"], balancer.address())
		}
		if stop, err := time.ParseDuration(n.StopGracePeriod); err != nil || stop < stopTime(t, n.Environment) {
			t.Errorf("%s has %s to stop and may need %s", name, n.StopGracePeriod, stopTime(t, n.Environment))
		}
		if !n.ReadOnly || n.Healthcheck != nil {
			t.Errorf("%s may write to its image, or has another health check than the image's", name)
		}
	}
	if len(addresses) != 3 || len(data) != 3 {
		t.Errorf("addresses %v, volumes %v", addresses, data)
	}
	for _, name := range []string{"n1", "n2", "n3"} {
		settings := imageSettings(t)
		for key, value := range services[name].Environment {
			settings[key] = value
		}
		if settings["HOLDFAST_JOIN"] != strings.Join(gossip, ",") {
			t.Errorf("%s joins %s, the nodes are %v", name, settings["HOLDFAST_JOIN"], gossip)
		}
		accepted(t, settings)
	}
	for name, s := range services {
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s is open to every network: %s", name, port)
			}
		}
	}
}

func TestPrometheusTakesTheConfigurationOfCompose(t *testing.T) {
	dir := t.TempDir()
	for name, source := range map[string]string{"prometheus.yml": "docker/prometheus.yml", "alerts.yaml": "monitoring/alerts.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(read(t, source)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tool(t, "promtool", "check", "config", filepath.Join(dir, "prometheus.yml"))
	for name, s := range compose(t) {
		if port := map[string]string{"n1": ":8080", "n2": ":8080", "n3": ":8080", "haproxy": ":8404"}[name]; port != "" {
			if !strings.Contains(read(t, "docker/prometheus.yml"), s.address()+port) {
				t.Errorf("Prometheus does not look at %s", name)
			}
		}
	}
}
