package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Program finds a program that this one needs. System programs live in sbin, which is not in everybody's path.
func Program(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return filepath.Abs(path)
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		path := filepath.Join(dir, name)
		if found, err := os.Stat(path); err == nil && found.Mode().IsRegular() && found.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: scripts/ci-packages installs it: %w", name, exec.ErrNotFound)
}
