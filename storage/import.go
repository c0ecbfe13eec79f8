package storage

import (
	"errors"
	"os"

	"go.etcd.io/bbolt"
)

// writeBeside returns the new file, open and synced. It is not yet the table's,
// so its transactions need no fsync of their own.
func (t *Table) writeBeside(p Point, fill func(put func(key, value []byte) error) error) (*bbolt.DB, error) {
	path := t.path + importSuffix
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	db, _, err := openFile(path, t.o.InitialMmapSize)
	if err != nil {
		return nil, err
	}
	db.NoSync = true
	w := importer{db: db}
	if err = fill(w.put); err == nil {
		err = w.finish(p)
	}
	if err == nil {
		err = db.Sync()
	}
	if err != nil {
		w.abort()
		return nil, errors.Join(err, db.Close(), os.Remove(path))
	}
	db.NoSync = false
	return db, nil
}

const importBytes = 8 << 20 // of one transaction, which is held in memory

type importer struct {
	db    *bbolt.DB
	tx    *bbolt.Tx
	bytes int
}

func (w *importer) put(key, value []byte) (err error) {
	if w.tx == nil {
		if w.tx, err = w.db.Begin(true); err != nil {
			return err
		}
	}
	data := w.tx.Bucket(dataBucket)
	data.FillPercent = orderedFill
	if err := data.Put(key, seal(key, value)); err != nil {
		return err
	}
	if w.bytes += len(key) + len(value); w.bytes >= importBytes {
		w.bytes = 0
		err, w.tx = w.tx.Commit(), nil
	}
	return err
}

func (w *importer) finish(p Point) error {
	if w.tx != nil {
		tx := w.tx
		w.tx = nil
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return w.db.Update(func(tx *bbolt.Tx) error { return writePoint(tx, p) })
}

func (w *importer) abort() {
	if w.tx != nil {
		_ = w.tx.Rollback()
	}
}
