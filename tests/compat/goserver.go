// SPDX-License-Identifier: Apache-2.0

// The preload tests' server in Go: with an internal link there is a loader but no libc in the process.
package main

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	large := strings.Repeat("x", 200000)
	for path, body := range map[string]string{"/small": "small", "/large": large, "/empty": ""} {
		http.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			fmt.Fprint(w, body)
		})
	}
	http.HandleFunc("/broken", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 500) })
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	http.Serve(listener, nil)
}
