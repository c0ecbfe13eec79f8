package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// machine is where a report was made.
type machine struct {
	Cores      int    `json:"cores"`
	GOMAXPROCS int    `json:"gomaxprocs"`
	Go         string `json:"go"`
	OS         string `json:"os"`
	Arch       string `json:"arch"`
}

// A report collects the rows of one run of this program.
type report struct {
	Machine     machine   `json:"machine"`
	Started     time.Time `json:"started"`
	Smoke       bool      `json:"smoke"` // small counts: the figures mean nothing
	CellSeconds float64   `json:"cell_seconds"`
	Rows        []row     `json:"rows"`
	wanted      []string
}

func newReport(cfg config) *report {
	return &report{
		Machine: machine{runtime.NumCPU(), runtime.GOMAXPROCS(0), runtime.Version(), runtime.GOOS, runtime.GOARCH},
		Started: time.Now().UTC(), Smoke: cfg.quick, CellSeconds: cfg.cell.Seconds(), wanted: cfg.rows,
	}
}

// add judges a row by the criterion of its name and keeps it, if it is wanted.
func (r *report) add(measured row) {
	if !slices.Contains(r.wanted, measured.Name) {
		return
	}
	for _, c := range criteria() {
		if c.name == measured.Name {
			measured = c.judge(measured, r.Smoke)
			if c.nats > 0 {
				measured.Rivals = fmt.Sprintf("etcd %.1f k, NATS %.1f k", c.etcd, c.nats)
			}
		}
	}
	r.Rows = append(r.Rows, measured)
}

// missed names the rows whose must is not met.
func (r *report) missed() []string {
	var names []string
	for _, row := range r.Rows {
		if strings.Contains(row.Mark, "MISSED") {
			names = append(names, row.Name)
		}
	}
	return names
}

// inOrder is the rows in the order of the criteria, with an empty one for each that could not be measured.
func (r *report) inOrder() []row {
	var rows []row
	for _, row := range r.Rows {
		if row.Name == floorRow {
			rows = append(rows, row)
		}
	}
	for _, c := range criteria() {
		i := slices.IndexFunc(r.Rows, func(row row) bool { return row.Name == c.name })
		switch {
		case i >= 0:
			rows = append(rows, r.Rows[i])
		case slices.Contains(r.wanted, c.name):
			rows = append(rows, c.judge(row{Name: c.name, Figure: "not measured"}, r.Smoke))
		}
	}
	return rows
}

func (r *report) print(w io.Writer) {
	m := r.Machine
	fmt.Fprintf(w, "\nHoldfast, three nodes and the client on %d cores (%s/%s, %s, GOMAXPROCS %d), %v a cell\n",
		m.Cores, m.OS, m.Arch, m.Go, m.GOMAXPROCS, time.Duration(r.CellSeconds*float64(time.Second)))
	if r.Smoke {
		fmt.Fprintln(w, "SMOKE RUN with small counts: it shows that everything works; its figures mean nothing.")
	}
	fmt.Fprintln(w)
	table := [][]string{{"row", "", "measured", "beside", "value", "must", "aim", "", "elsewhere"}}
	rows := r.inOrder()
	for _, row := range rows {
		value := ""
		if row.Value != nil {
			value = strings.TrimSpace(number(*row.Value) + " " + row.Unit)
		}
		table = append(table, []string{
			row.Name, row.What, row.Figure, row.Beside, value, optional(row.Must), optional(row.Aim), row.Mark, row.Rivals,
		})
	}
	printColumns(w, table)
	fmt.Fprintln(w)
	for _, row := range rows {
		for _, note := range row.Notes {
			fmt.Fprintf(w, "%s: %s\n", row.Name, note)
		}
	}
}

// printColumns aligns the table's columns, counting characters; columns that are empty throughout are left out.
func printColumns(w io.Writer, table [][]string) {
	width := make([]int, len(table[0]))
	for _, cells := range table[1:] {
		for i, text := range cells {
			width[i] = max(width[i], utf8.RuneCountInString(text))
		}
	}
	for i, title := range table[0] {
		if width[i] > 0 {
			width[i] = max(width[i], utf8.RuneCountInString(title))
		}
	}
	for n, cells := range table {
		var line strings.Builder
		for i, text := range cells {
			if width[i] > 0 {
				line.WriteString(text + strings.Repeat(" ", width[i]-utf8.RuneCountInString(text)+2))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
		if n == 0 {
			fmt.Fprintln(w, strings.Repeat("─", utf8.RuneCountInString(strings.TrimRight(line.String(), " "))))
		}
	}
}

func (r *report) writeJSON(file string) error {
	ordered := *r
	ordered.Rows = r.inOrder()
	raw, err := json.MarshalIndent(ordered, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(raw, '\n'), 0o644)
}

func optional(v *float64) string {
	if v == nil {
		return "–"
	}
	return number(*v)
}

// number prints about three significant digits, without zeros at the end.
func number(v float64) string {
	decimals := 2
	switch {
	case v >= 100:
		decimals = 0
	case v >= 10:
		decimals = 1
	}
	text := strconv.FormatFloat(v, 'f', decimals, 64)
	if decimals > 0 {
		text = strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
	}
	return text
}

func rate(perSecond float64) string { return fmt.Sprintf("%.1f k/s", perSecond/1e3) }

func micros(us float64) string {
	if us >= 1000 {
		return fmt.Sprintf("%.1f ms", us/1e3)
	}
	return fmt.Sprintf("%.0f µs", us)
}

func pointer(v float64) *float64 { return &v }
