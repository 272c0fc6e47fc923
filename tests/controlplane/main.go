// Kubernetes' own programs and etcd in one, as the tests need them: they are large, and share nearly all of their code.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	etcd "go.etcd.io/etcd/api/v3/version"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/component-base/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// The sources that this was built from, written in by the build, which so knows a program of older ones.
var sources = "unknown"

func main() {
	// As k3s' own program, it is kubectl where it is called so.
	if filepath.Base(os.Args[0]) == "kubectl" {
		run(kubectl.NewDefaultKubectlCommand())
	}
	if len(os.Args) < 2 {
		usage()
	}
	// From here on the program looks as the one that it plays.
	os.Args = os.Args[1:]
	switch os.Args[0] {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		run(apiserver.NewAPIServerCommand())
	case "kube-scheduler":
		run(scheduler.NewSchedulerCommand())
	case "kube-controller-manager":
		run(manager.NewControllerManagerCommand())
	case "kubelet":
		run(kubelet.NewKubeletCommand(context.Background()))
	case "version", "--version":
		fmt.Printf("control-plane version %s, sources %s, etcd %s\n", version.Get(), sources, etcd.Version)
	default:
		usage()
	}
}

func run(command *cobra.Command) {
	os.Exit(cli.Run(command))
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: control-plane etcd|kube-apiserver|kube-scheduler|kube-controller-manager|kubelet FLAG…",
		"\n       control-plane version")
	os.Exit(2)
}
