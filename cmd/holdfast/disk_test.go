package main

import (
	"errors"
	"log/slog"
	"testing"
)

func TestADiskIsLowBelowTheMarkAndWellOnlyAQuarterAboveIt(t *testing.T) {
	var free int64
	var fault error
	d := &disk{mark: 1000, log: slog.New(slog.DiscardHandler), free: func(string) (int64, error) { return free, fault }}
	for _, step := range []struct {
		free  int64
		fault error
		low   bool
	}{
		{free: 5000},
		{free: 1000},
		{free: 999, low: true},
		{free: 1001, low: true},
		{free: 1249, low: true},
		{fault: errors.New("gone for a moment"), low: true},
		{free: 1250},
		{free: 1001},
		{free: 0, low: true},
	} {
		free, fault = step.free, step.fault
		d.look()
		if d.low.Load() != step.low || d.check().OK == step.low {
			t.Errorf("%d bytes free, %v: low is %v", step.free, step.fault, d.low.Load())
		}
	}
}

func TestTheFreeSpaceOfThisMachineIsKnown(t *testing.T) {
	free, err := freeBytes(t.TempDir())
	if err != nil || free <= 0 {
		t.Errorf("%d, %v", free, err)
	}
	if _, err := freeBytes(t.TempDir() + "/none"); err == nil {
		t.Error("a directory that is not there has room")
	}
}
