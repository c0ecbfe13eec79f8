//go:build !(linux || darwin || freebsd)

package main

func freeBytes(string) (int64, error) { return 0, errNoDiskFigure }

func diskSpace(string) (free, size int64, err error) { return 0, 0, errNoDiskFigure }
