import { ADAPTERS, type DiskLinux, linuxWith } from './disk-linux.ts'

/**
 * The first process of `rdinit=/auto`: plays a file by the driver's OSS interface, 8000 bytes a second. The codec begins
 * muted, and there is no mixer program: its registers are set over their ports.
 */
const AUTO = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
/drivers
grep ICH /proc/asound/cards
base=$(awk '{ print $1; exit }' /sys/class/sound/card0/device/resource)
printf '\\0\\0' | dd of=/dev/port bs=1 seek=$((base + 2)) 2>/dev/null
printf '\\10\\10' | dd of=/dev/port bs=1 seek=$((base + 24)) 2>/dev/null
i=0
while [ $i -lt 60 ]; do echo "line $i of what is played, and some more text behind it so that it takes a while"; i=$((i + 1)); done > /tmp/sound
cat /tmp/sound > /dev/dsp
echo "sound $(base64 < /tmp/sound | tr -d '\\n')"
poweroff -f
`

/** A Linux with the driver of the sound device. @returns undefined where there is no apt to fetch Debian's packages with */
export function soundLinux(): Promise<DiskLinux | undefined> {
  return linuxWith(['snd_intel8x0', 'snd_pcm_oss'], AUTO, ADAPTERS)
}
