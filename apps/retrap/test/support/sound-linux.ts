import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ADAPTERS, type DiskLinux, linuxWith } from './disk-linux.ts'
import { FIRST_PROCESS, TO_DEVICES } from './first-process.ts'
import { runRetrap } from './processes.ts'

/**
 * The first process of `rdinit=/auto`: plays a file by the driver's OSS interface, 8000 bytes a second. The codec begins
 * muted, and there is no mixer program: its registers are set over their ports.
 */
const AUTO = `${FIRST_PROCESS}mount -t tmpfs tmpfs /tmp
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

const HEADER_BYTES = 44

/** What a guest has played. */
export interface Recording {
  readonly channels: number
  readonly rate: number
  readonly samples: readonly number[]
  /** What the guest has said. */
  readonly text: string
}

/**
 * Runs a Linux to its end, with its sound going into a WAV file. Drivers measure their clocks: on real time a busy host would
 * show in the rate.
 *
 * @param folder - for files
 * @param args - further options of `retrap run`
 */
export async function record(linux: DiskLinux, folder: string, ...args: readonly string[]): Promise<Recording> {
  const initrd = join(folder, 'initrd')
  writeFileSync(initrd, linux.initrd)
  const wav = join(folder, 'out.wav')
  const { stdout, stderr, code } = await runRetrap(
    [
      ...['run', '--deterministic', '--memory', '256M', '--kernel', linux.kernelPath, '--initrd', initrd],
      ...['--append', `${TO_DEVICES} rdinit=/auto`, '--audio', `wav:${wav}`, ...args],
    ],
    { deadlineMs: 110_000 },
  )
  if (code !== 0) throw new Error(`retrap ended with ${String(code)}: ${stdout}${stderr}`)
  const bytes = readFileSync(wav)
  return {
    channels: bytes.readUInt16LE(22),
    rate: bytes.readUInt32LE(24),
    samples: Array.from({ length: (bytes.length - HEADER_BYTES) / 2 }, (_, i) =>
      bytes.readInt16LE(HEADER_BYTES + 2 * i),
    ),
    text: stdout,
  }
}
