package harness

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// Build builds the binary of holdfast into dir, with environment variables of the caller's in addition, and returns its
// path. It is the binary that users get: without the race detector, whatever the caller was built with.
func Build(ctx context.Context, dir string, env ...string) (string, error) {
	path := filepath.Join(dir, "holdfast")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "github.com/holdfastdb/holdfast/cmd/holdfast")
	cmd.Env = append(cmd.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build ./cmd/holdfast: %w\n%s", err, out)
	}
	return path, nil
}
