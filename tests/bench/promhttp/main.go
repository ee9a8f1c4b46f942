// SPDX-License-Identifier: Apache-2.0

// The Go client library with as many histograms as the exporter is measured with: promhttp HISTOGRAMS. Serves them on a free port
// of 127.0.0.1, which it prints: /metrics by promhttp, every format and coding that it has; /encode/protobuf and
// /encode/openmetrics2 only gather and encode, and send nothing.
package main

import (
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"os"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
)

var bounds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

func encode(registry *prometheus.Registry, format expfmt.Format) http.HandlerFunc {
	return func(http.ResponseWriter, *http.Request) {
		families, err := registry.Gather()
		if err != nil {
			log.Fatal(err)
		}
		encoder := expfmt.NewEncoder(io.Discard, format)
		for _, family := range families {
			if err := encoder.Encode(family); err != nil {
				log.Fatal(err)
			}
		}
		if err := encoder.(expfmt.Closer).Close(); err != nil {
			log.Fatal(err)
		}
	}
}

func main() {
	count, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	histograms := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_duration_seconds", Help: "Time from the first byte of a request to the last byte of its response.",
		Buckets: bounds}, []string{"service", "method", "route", "status"})
	registry.MustRegister(histograms)
	for i := 0; i < count; i++ {
		h := histograms.WithLabelValues(fmt.Sprintf("service-%d", i/1000), "GET", fmt.Sprintf("/api/v1/things%d/:id", i%1000/4), strconv.Itoa(200+i%4))
		for n := 0; n < 100; n++ {
			h.Observe(0.0001 * float64(int(1)<<(rand.Intn(8))) * (1 + rand.Float64()))
		}
	}
	openMetrics2, err := expfmt.NewOpenMetricsFormat(expfmt.OpenMetricsVersion_2_0_0)
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		AcceptedFormats: append(expfmt.DefaultOpenMetricsAcceptedFormats(), openMetrics2)}))
	http.HandleFunc("/encode/protobuf", encode(registry, expfmt.NewFormat(expfmt.TypeProtoDelim)))
	http.HandleFunc("/encode/openmetrics2", encode(registry, openMetrics2))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, nil))
}
