package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// Archives saves the whole state; cmd adapts it. Its errors are treated as those of Sessions.
type Archives interface {
	// Save makes an archive that holds every write acknowledged before the call. It may take as long as ctx lasts: minutes,
	// for a state of many gigabytes. The caller closes the archive.
	Save(ctx context.Context) (Archive, error)
}

// Archive is one state, ready to be sent.
type Archive struct {
	io.ReadCloser
	Size  int64  // bytes
	Name  string // of the file that it may be kept in
	Index session.Index
}

// transferIdle is how long a download or an upload may stand still.
const transferIdle = 30 * time.Second

// transferPiece is how much is sent or read under one deadline.
const transferPiece = 256 << 10

var octets = []string{"application/octet-stream"}

// saveSnapshot answers GET /cluster/snapshot.
func (s *Server) saveSnapshot(c *call) error {
	if err := c.archivists(); err != nil {
		return err
	}
	c.streamed = true
	if c.r.Method == http.MethodHead { // no archive is made to count its bytes
		c.w.Header()[headerContentType] = octets
		c.head(http.StatusOK)
		return nil
	}
	ctx, cancel := c.untilDrained()
	defer cancel()
	control := http.NewResponseController(c.w)
	if err := control.SetWriteDeadline(time.Time{}); err != nil {
		return err
	}
	archive, err := s.cfg.Archives.Save(ctx)
	if err != nil {
		return err
	}
	defer archive.Close()
	c.index = archive.Index
	h := c.w.Header()
	h[headerContentType] = octets
	c.set("Content-Disposition", `attachment; filename="`+archive.Name+`"`)
	c.set(headerContentLen, decimal(int(archive.Size)))
	c.head(http.StatusOK)
	piece := make([]byte, transferPiece)
	for ctx.Err() == nil {
		n, err := archive.Read(piece)
		if n > 0 {
			if control.SetWriteDeadline(time.Now().Add(transferIdle)) != nil {
				break
			}
			wrote, err := c.w.Write(piece[:n])
			if c.size += wrote; err != nil {
				break
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			s.log.Error("an archive could not be read while it was sent", "error", err, "request_id", c.requestID())
			break
		}
	}
	// net/http breaks the connection: what was sent is less than was announced, and no client takes it for whole.
	panic(http.ErrAbortHandler)
}

// archivists lets operators pass, where this server keeps archives at all.
func (c *call) archivists() error {
	if err := c.operators(); err != nil {
		return err
	}
	if c.s.cfg.Archives == nil {
		return session.ErrNotFound.With("this server keeps no archives")
	}
	return nil
}

// untilDrained is a context for what takes longer than a request may: it ends when the client goes, or the node drains.
func (c *call) untilDrained() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(c.r.Context())
	stop := context.AfterFunc(c.s.streams, cancel)
	return ctx, func() { stop(); cancel() }
}
