package deploy

import (
	"strings"
	"testing"
	"time"
)

type blueprint struct {
	Services []struct {
		Type, Name, Runtime, Region string
		DockerfilePath              string `yaml:"dockerfilePath"`
		NumInstances                int    `yaml:"numInstances"`
		AutoDeployTrigger           string `yaml:"autoDeployTrigger"`
		MaxShutdownDelaySeconds     int    `yaml:"maxShutdownDelaySeconds"`
		Disk                        struct {
			Name      string
			MountPath string `yaml:"mountPath"`
		}
		EnvVars []map[string]string `yaml:"envVars"`
	}
	EnvVarGroups []struct {
		Name    string
		EnvVars []map[string]string `yaml:"envVars"`
	} `yaml:"envVarGroups"`
}

func TestRenderHasThreeServicesOfOneDiskEach(t *testing.T) {
	var b blueprint
	readYAML(t, "render/render.yaml", &b)
	shared := make(map[string]string)
	for _, v := range b.EnvVarGroups[0].EnvVars {
		shared[v["key"]] = v["value"]
	}
	disks, regions := make(map[string]bool), make(map[string]bool)
	var gossip []string
	for _, s := range b.Services {
		if s.Type != "pserv" || s.NumInstances != 1 || s.AutoDeployTrigger != "off" {
			t.Errorf("%s: %+v", s.Name, s)
		}
		disks[s.Disk.Name], regions[s.Region] = true, true
		gossip = append(gossip, s.Name+":7101")
		settings, grouped := imageSettings(t), false
		for name, value := range shared {
			settings[name] = value
		}
		for _, v := range s.EnvVars {
			if grouped = grouped || v["fromGroup"] == b.EnvVarGroups[0].Name; v["key"] != "" {
				settings[v["key"]] = v["value"]
			}
		}
		if !grouped || settings["HOLDFAST_NODE_ID"] != s.Name || settings["HOLDFAST_ADVERTISE_ADDR"] != s.Name+":7001" {
			t.Errorf("%s: %v", s.Name, settings)
		}
		if !strings.HasPrefix(settings["HOLDFAST_DATA_DIR"], s.Disk.MountPath+"/") {
			t.Errorf("%s keeps its data in %s, its disk is at %s", s.Name, settings["HOLDFAST_DATA_DIR"], s.Disk.MountPath)
		}
		if delay := time.Duration(s.MaxShutdownDelaySeconds) * time.Second; delay < stopTime(t, settings) {
			t.Errorf("%s has %s to stop and may need %s", s.Name, delay, stopTime(t, settings))
		}
		read(t, "../"+strings.TrimPrefix(s.DockerfilePath, "./"))
		accepted(t, settings)
	}
	if len(disks) != 3 || len(regions) != 1 || shared["HOLDFAST_JOIN"] != strings.Join(gossip, ",") {
		t.Errorf("disks %v, regions %v, nodes %v join %s", disks, regions, gossip, shared["HOLDFAST_JOIN"])
	}
}
