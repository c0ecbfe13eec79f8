package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Log formats.
const (
	logJSON = "json" // one object a line
	logText = "text"
)

// logger makes the process's logger. With w nil it only says what is wrong with the flags.
func (c Config) logger(w io.Writer) (*slog.Logger, error) {
	var faults []error
	var level slog.Level
	// A number or an offset ("INFO+2") would parse too; the four names are the contract.
	if err := mustChooseOne("log-level", c.LogLevel, "debug", "info", "warn", "error"); err != nil {
		faults = append(faults, err)
	} else if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		faults = append(faults, fmt.Errorf("log-level: %w", err))
	}
	faults = append(faults, mustChooseOne("log-format", c.LogFormat, logJSON, logText))
	if err := errors.Join(faults...); err != nil || w == nil {
		return nil, err
	}
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == logText {
		return slog.New(slog.NewTextHandler(w, options)), nil
	}
	return slog.New(slog.NewJSONHandler(w, options)), nil
}
