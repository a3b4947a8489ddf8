import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { skipNote } from '@retrap/tooling/skip'
import { afterAll, expect, test } from 'vitest'
import { speakerLinux } from '../support/disk-linux.ts'
import { runRetrap } from '../support/processes.ts'

/** Has the driver beep with 440 Hz for about half a second: EV_SND, SND_TONE, 440, behind a time of 16 bytes. */
const AUTO = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
/drivers
event=/dev/input/$(basename $(dirname $(grep -l 'PC Speaker' /sys/class/input/event*/device/name | head -n 1 | xargs dirname)))
time='\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0'
printf "$time"'\\22\\0\\2\\0\\270\\1\\0\\0' > $event
sleep 0.5
printf "$time"'\\22\\0\\2\\0\\0\\0\\0\\0' > $event
sleep 0.2
poweroff -f
`
const linux = await speakerLinux(AUTO)
const folder = mkdtempSync(join(tmpdir(), 'retrap-speaker-'))
afterAll(() => rmSync(folder, { recursive: true }))

const HEADER_BYTES = 44
const note = skipNote(linux !== undefined, 'there is no apt')

test.skipIf(linux === undefined)(
  `a tone that Linux's pcspkr plays is in the WAV file${note}`,
  { timeout: 120_000 },
  async () => {
    const initrd = join(folder, 'initrd')
    writeFileSync(initrd, linux!.initrd)
    const wav = join(folder, 'out.wav')
    const { stdout, stderr, code } = await runRetrap(
      [
        ...['run', '--deterministic', '--memory', '256M', '--kernel', linux!.kernelPath, '--initrd', initrd],
        ...['--devices', 'worker', '--append', 'console=ttyS0 quiet rdinit=/auto', '--audio', `wav:${wav}`],
      ],
      { deadlineMs: 110_000 },
    )
    expect(code, stdout + stderr).toBe(0)
    const bytes = readFileSync(wav)
    expect([bytes.readUInt16LE(22), bytes.readUInt32LE(24)]).toEqual([1, 48_000])
    const samples = Array.from({ length: (bytes.length - HEADER_BYTES) / 2 }, (_, i) =>
      bytes.readInt16LE(HEADER_BYTES + 2 * i),
    )
    expect(samples.length).toBeGreaterThan(24_000)
    expect(samples.length).toBeLessThan(33_600)
    // Rises through the middle in the steady part.
    const part = samples.slice(4800, 4800 + 14_400)
    const rises = part.filter((sample, i) => i > 0 && sample >= 0 && part[i - 1]! < 0).length
    expect(rises / 0.3).toBeGreaterThan(435)
    expect(rises / 0.3).toBeLessThan(445)
  },
)
