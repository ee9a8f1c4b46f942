// SPDX-License-Identifier: Apache-2.0

// A receiver of remote write as Prometheus has it: its handler and its storage, without the rest. Arguments: address, folder. /dump is
// all that is stored, one JSON object a line: samples, then exemplars.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

type sample struct {
	Labels   map[string]string
	Exemplar map[string]string `json:",omitempty"`
	Start    int64
	Time     int64
	Value    string
	Count    uint64   `json:",omitempty"`
	Sum      float64  `json:",omitempty"`
	Zero     uint64   `json:",omitempty"`
	Schema   int32    `json:",omitempty"`
	Buckets  []string `json:",omitempty"`
}

// The exemplars of all series, in sample.Exemplar.
func dumpExemplars(db *tsdb.DB, out *json.Encoder, r *http.Request) error {
	querier, err := db.ExemplarQuerier(r.Context())
	if err != nil {
		return err
	}
	all := []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, ".+")}
	found, err := querier.Select(math.MinInt64, math.MaxInt64, all)
	for _, series := range found {
		for _, e := range series.Exemplars {
			out.Encode(sample{Labels: series.SeriesLabels.Map(), Exemplar: e.Labels.Map(), Time: e.Ts, Value: fmt.Sprint(e.Value)})
		}
	}
	return err
}

func dump(db *tsdb.DB, w http.ResponseWriter, r *http.Request) {
	querier, err := db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer querier.Close()
	all := querier.Select(r.Context(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, ".+"))
	out := json.NewEncoder(w)
	var iterator chunkenc.Iterator
	for all.Next() {
		series := all.At()
		iterator = series.Iterator(iterator)
		for kind := iterator.Next(); kind != chunkenc.ValNone; kind = iterator.Next() {
			s := sample{Labels: series.Labels().Map(), Start: iterator.AtST()}
			if kind == chunkenc.ValFloat {
				var value float64
				s.Time, value = iterator.At()
				s.Value = fmt.Sprint(value)
			} else {
				time, h := iterator.AtHistogram(nil)
				s.Time, s.Count, s.Sum, s.Zero, s.Schema = time, h.Count, h.Sum, h.ZeroCount, h.Schema
				for buckets := h.PositiveBucketIterator(); buckets.Next(); {
					b := buckets.At()
					s.Buckets = append(s.Buckets, fmt.Sprintf("%g %g %d", b.Lower, b.Upper, b.Count))
				}
			}
			out.Encode(s)
		}
	}
	if err := dumpExemplars(db, out, r); err != nil {
		log.Fatal(err)
	}
}

func main() {
	options := tsdb.DefaultOptions()
	options.EnableExemplarStorage, options.MaxExemplars = true, 1000
	db, err := tsdb.Open(os.Args[2], slog.Default(), prometheus.NewRegistry(), options, nil)
	if err != nil {
		log.Fatal(err)
	}
	var appendable storage.AppendableV2 = db
	accepted := remoteapi.MessageTypes{remoteapi.WriteV1MessageType, remoteapi.WriteV2MessageType}
	http.Handle("/api/v1/write", remote.NewWriteHandler(slog.Default(), prometheus.NewRegistry(), appendable, accepted, false, true))
	http.HandleFunc("/dump", func(w http.ResponseWriter, r *http.Request) { dump(db, w, r) })
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
