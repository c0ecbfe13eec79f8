package deploy

import (
	"errors"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

type selector struct {
	MatchLabels map[string]string `yaml:"matchLabels"`
}

type probe struct {
	HTTPGet          struct{ Path, Port string } `yaml:"httpGet"`
	Exec             any
	PeriodSeconds    int `yaml:"periodSeconds"`
	FailureThreshold int `yaml:"failureThreshold"`
}

type container struct {
	Args  []string
	Env   []struct{ Name string }
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
		Protocol      string
	}
	Startup         probe `yaml:"startupProbe"`
	Liveness        probe `yaml:"livenessProbe"`
	Readiness       probe `yaml:"readinessProbe"`
	SecurityContext struct {
		ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
		AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
	} `yaml:"securityContext"`
}

// manifest holds what the tests look at in any of the manifests.
type manifest struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name string }
	Spec       struct {
		ClusterIP                string `yaml:"clusterIP"`
		PublishNotReadyAddresses bool   `yaml:"publishNotReadyAddresses"`
		Selector                 map[string]any
		Ports                    []struct {
			Name       string
			Port       int
			TargetPort string `yaml:"targetPort"`
			Protocol   string
		}
		ServiceName         string `yaml:"serviceName"`
		Replicas            int
		PodManagementPolicy string   `yaml:"podManagementPolicy"`
		MinReadySeconds     int      `yaml:"minReadySeconds"`
		MaxUnavailable      *int     `yaml:"maxUnavailable"`
		PodSelector         selector `yaml:"podSelector"`
		Template            struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				TerminationGracePeriodSeconds int `yaml:"terminationGracePeriodSeconds"`
				SecurityContext               struct {
					RunAsNonRoot bool `yaml:"runAsNonRoot"`
				} `yaml:"securityContext"`
				Affinity struct {
					PodAntiAffinity struct {
						Required []struct {
							TopologyKey   string   `yaml:"topologyKey"`
							LabelSelector selector `yaml:"labelSelector"`
						} `yaml:"requiredDuringSchedulingIgnoredDuringExecution"`
					} `yaml:"podAntiAffinity"`
				}
				Containers []container
			}
		}
		VolumeClaimTemplates []struct {
			Metadata struct{ Name string }
		} `yaml:"volumeClaimTemplates"`
	}
}

// manifests reads all of them by kind and name.
func manifests(t *testing.T) map[string]manifest {
	t.Helper()
	files, err := filepath.Glob("kubernetes/*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("%v, %v", files, err)
	}
	all := make(map[string]manifest)
	for _, file := range files {
		for documents := yaml.NewDecoder(strings.NewReader(read(t, file))); ; {
			var m manifest
			if err := documents.Decode(&m); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if m.APIVersion == "" || m.Metadata.Name == "" {
				t.Errorf("%s holds something that is no manifest", file)
			}
			all[m.Kind+"/"+m.Metadata.Name] = m
		}
	}
	return all
}

func theStatefulSet(t *testing.T) (manifest, container) {
	t.Helper()
	set := manifests(t)["StatefulSet/holdfast"]
	if len(set.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("%d containers", len(set.Spec.Template.Spec.Containers))
	}
	return set, set.Spec.Template.Spec.Containers[0]
}

func TestNoProbeOfLifeAsksForTheQuorum(t *testing.T) {
	_, c := theStatefulSet(t)
	for name, want := range map[string]struct {
		probe probe
		path  string
	}{"startup": {c.Startup, "/livez"}, "liveness": {c.Liveness, "/livez"}, "readiness": {c.Readiness, "/readyz"}} {
		if want.probe.HTTPGet.Path != want.path || want.probe.HTTPGet.Port != "http" || want.probe.Exec != nil {
			t.Errorf("the %s probe asks for %+v", name, want.probe)
		}
	}
	if patience := time.Duration(c.Liveness.PeriodSeconds*c.Liveness.FailureThreshold) * time.Second; patience < 30*time.Second {
		t.Errorf("a node that is busy for %s is ended", patience)
	}
}

func TestThePodsOfTheSetAreNodesOfOneCluster(t *testing.T) {
	set, c := theStatefulSet(t)
	settings := map[string]string{"HOLDFAST_NODE_ID": "holdfast-0"}
	var args []string
	for _, arg := range c.Args[1:] {
		arg = strings.NewReplacer("$(HOLDFAST_NODE_ID)", "holdfast-0", "$(POD_IP)", "10.0.0.1").Replace(arg)
		name, value, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		settings[variable(name)], args = value, append(args, arg)
	}
	if strings.Contains(strings.Join(args, ""), "$(") {
		t.Errorf("a variable that no pod has: %v", args)
	}
	accepted(t, map[string]string{"HOLDFAST_NODE_ID": "holdfast-0"}, args...)
	s := set.Spec
	if settings["HOLDFAST_JOIN"] != s.ServiceName+":7101" || settings["HOLDFAST_ADVERTISE_ADDR"] != "holdfast-0."+s.ServiceName+":7001" {
		t.Errorf("the nodes of %s meet at %s and are reached at %s", s.ServiceName, settings["HOLDFAST_JOIN"], settings["HOLDFAST_ADVERTISE_ADDR"])
	}
	if s.Replicas != 3 || settings["HOLDFAST_BOOTSTRAP_EXPECT"] != "3" {
		t.Errorf("%d replicas, %s are expected", s.Replicas, settings["HOLDFAST_BOOTSTRAP_EXPECT"])
	}
	// In their order the first would have to be ready, which takes three, before the second is started.
	if s.PodManagementPolicy != "Parallel" {
		t.Errorf("podManagementPolicy %q", s.PodManagementPolicy)
	}
	if len(s.VolumeClaimTemplates) != 1 || !strings.HasPrefix(settings["HOLDFAST_DATA_DIR"], imageSettings(t)["HOLDFAST_DATA_DIR"]+"/") {
		t.Errorf("claims %v for %s", s.VolumeClaimTemplates, settings["HOLDFAST_DATA_DIR"])
	}
	grace := time.Duration(s.Template.Spec.TerminationGracePeriodSeconds) * time.Second
	if need := stopTime(t, settings); grace < need {
		t.Errorf("a pod has %s to stop and may need %s", grace, need)
	}
	ports := make(map[string]int)
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	for name, addr := range map[string]string{"http": "HTTP", "cluster": "CLUSTER", "gossip-tcp": "GOSSIP", "gossip-udp": "GOSSIP"} {
		if !strings.HasSuffix(settings["HOLDFAST_"+addr+"_ADDR"], ":"+strconv.Itoa(ports[name])) {
			t.Errorf("port %s is %d, the node listens at %s", name, ports[name], settings["HOLDFAST_"+addr+"_ADDR"])
		}
	}
	if !s.Template.Spec.SecurityContext.RunAsNonRoot || !c.SecurityContext.ReadOnlyRootFilesystem || c.SecurityContext.AllowPrivilegeEscalation == nil {
		t.Error("the pod may do more than it needs")
	}
}

func TestTheManifestsSelectTheirPods(t *testing.T) {
	all := manifests(t)
	set, c := theStatefulSet(t)
	labels := set.Spec.Template.Metadata.Labels
	matches := func(what string, wanted map[string]string) {
		t.Helper()
		for key, value := range wanted {
			if labels[key] != value {
				t.Errorf("%s selects %s=%s, the pods have %v", what, key, value, labels)
			}
		}
		if len(wanted) == 0 {
			t.Errorf("%s selects everything", what)
		}
	}
	named := make(map[string]bool)
	for _, p := range c.Ports {
		named[p.Name] = true
	}
	for _, name := range []string{"Service/holdfast", "Service/" + set.Spec.ServiceName} {
		wanted := make(map[string]string)
		for key, value := range all[name].Spec.Selector {
			wanted[key], _ = value.(string)
		}
		matches(name, wanted)
		for _, p := range all[name].Spec.Ports {
			if !named[p.TargetPort] {
				t.Errorf("%s sends to a port %q", name, p.TargetPort)
			}
		}
	}
	if nodes := all["Service/"+set.Spec.ServiceName].Spec; nodes.ClusterIP != "None" || !nodes.PublishNotReadyAddresses {
		t.Error("nodes that are not ready do not find each other")
	}
	if clients := all["Service/holdfast"].Spec; clients.ClusterIP == "None" || clients.PublishNotReadyAddresses {
		t.Error("clients are sent to nodes that are not ready")
	}
	for _, name := range []string{"StatefulSet/holdfast", "PodDisruptionBudget/holdfast"} {
		wanted := make(map[string]string)
		for key, value := range all[name].Spec.Selector["matchLabels"].(map[string]any) {
			wanted[key] = value.(string)
		}
		matches(name, wanted)
	}
	matches("NetworkPolicy/holdfast", all["NetworkPolicy/holdfast"].Spec.PodSelector.MatchLabels)
	if budget := all["PodDisruptionBudget/holdfast"].Spec.MaxUnavailable; budget == nil || *budget != 1 {
		t.Error("more than one node may be taken away at a time")
	}
	apart := set.Spec.Template.Spec.Affinity.PodAntiAffinity.Required
	if len(apart) != 1 || apart[0].TopologyKey != "kubernetes.io/hostname" {
		t.Fatalf("two nodes may share a machine: %v", apart)
	}
	matches("the anti-affinity", apart[0].LabelSelector.MatchLabels)
}
