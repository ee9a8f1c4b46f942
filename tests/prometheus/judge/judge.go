// SPDX-License-Identifier: Apache-2.0

// Reads an exposition with the parsers of Prometheus itself (model/textparse) and says as JSON what they found:
//
//	judge parse CONTENT-TYPE <exposition     what a server's scrape would see
//	judge expfmt text|protobuf <exposition   decoded by the client library's expfmt, encoded again, then parsed as above
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

type found struct {
	Labels    map[string]string
	Value     string   `json:",omitempty"` // of a float sample
	Native    string   `json:",omitempty"` // of a native histogram
	Start     int64    // ms, 0 = none
	Exemplars []string `json:",omitempty"`
}

type report struct {
	Series []found
	Types  map[string]string
	Units  map[string]string
	Helps  map[string]string
	Error  string
}

func parse(data []byte, contentType string) (r report, err error) {
	r = report{Types: map[string]string{}, Units: map[string]string{}, Helps: map[string]string{}}
	p, err := textparse.New(data, contentType, nil, textparse.ParserOptions{
		EnableOpenMetrics2:                      true,
		KeepClassicOnClassicAndNativeHistograms: true,
		OpenMetricsSkipSTSeries:                 true,
	})
	if err != nil {
		return r, err
	}
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return r, nil
		}
		if err != nil {
			return r, err
		}
		var s found
		switch entry {
		case textparse.EntryType:
			name, kind := p.Type()
			r.Types[string(name)] = string(kind)
			continue
		case textparse.EntryUnit:
			name, unit := p.Unit()
			r.Units[string(name)] = string(unit)
			continue
		case textparse.EntryHelp:
			name, help := p.Help()
			r.Helps[string(name)] = string(help)
			continue
		case textparse.EntrySeries:
			_, ts, value := p.Series()
			if ts != nil {
				return r, errors.New("a sample with a time")
			}
			s.Value = strconv.FormatFloat(value, 'g', -1, 64)
		case textparse.EntryHistogram:
			_, _, h, _ := p.Histogram()
			if h == nil {
				return r, errors.New("a histogram of floats")
			}
			if err := h.Validate(); err != nil {
				return r, err
			}
			s.Native = h.String() + fmt.Sprintf(" schema %d zero %g count %d", h.Schema, h.ZeroThreshold, h.Count)
		default:
			continue
		}
		var l labels.Labels
		p.Labels(&l)
		if name, twice := l.HasDuplicateLabelNames(); twice {
			return r, fmt.Errorf("label %q twice", name)
		}
		s.Labels = l.Map()
		s.Start = p.StartTimestamp()
		for e := (exemplar.Exemplar{}); p.Exemplar(&e); e = (exemplar.Exemplar{}) {
			s.Exemplars = append(s.Exemplars, fmt.Sprintf("%s %g %d", e.Labels.String(), e.Value, e.Ts))
		}
		r.Series = append(r.Series, s)
	}
}

// through decodes with expfmt and encodes what it understood as text.
func through(data []byte, format expfmt.Format) ([]byte, error) {
	var out bytes.Buffer
	decoder := expfmt.NewDecoder(bytes.NewReader(data), format)
	seen := map[string]bool{}
	for {
		var family dto.MetricFamily
		if err := decoder.Decode(&family); errors.Is(err, io.EOF) {
			return out.Bytes(), nil
		} else if err != nil {
			return nil, err
		}
		if format.FormatType() != expfmt.TypeTextPlain && seen[family.GetName()] {
			return nil, fmt.Errorf("family %q twice", family.GetName())
		}
		seen[family.GetName()] = true
		if _, err := expfmt.MetricFamilyToText(&out, &family); err != nil {
			return nil, err
		}
	}
}

func judge(arguments []string) (report, error) {
	if len(arguments) != 2 {
		return report{}, errors.New("usage: judge parse CONTENT-TYPE | judge expfmt text|protobuf")
	}
	data, err := io.ReadAll(os.Stdin)
	if err != nil {
		return report{}, err
	}
	if arguments[0] == "parse" {
		return parse(data, arguments[1])
	}
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	if arguments[1] == "protobuf" {
		format = expfmt.NewFormat(expfmt.TypeProtoDelim)
	}
	if data, err = through(data, format); err != nil {
		return report{}, err
	}
	return parse(data, "text/plain; version=0.0.4")
}

func main() {
	r, err := judge(os.Args[1:])
	if err != nil {
		r.Error = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
