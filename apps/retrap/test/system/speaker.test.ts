import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { speakerLinux } from '../support/disk-linux.ts'
import { FIRST_PROCESS } from '../support/first-process.ts'
import { record } from '../support/sound-linux.ts'

/** Has the driver beep with 440 Hz for about half a second: EV_SND, SND_TONE, 440, behind a time of 16 bytes. */
const AUTO = `${FIRST_PROCESS}/drivers
event=/dev/input/$(basename $(dirname $(grep -l 'PC Speaker' /sys/class/input/event*/device/name | head -n 1 | xargs dirname)))
time='\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0'
printf "$time"'\\22\\0\\2\\0\\270\\1\\0\\0' > $event
sleep 0.5
printf "$time"'\\22\\0\\2\\0\\0\\0\\0\\0' > $event
sleep 0.2
poweroff -f
`
const linux = await speakerLinux(AUTO)
const folder = temporaryFolder('speaker')

const note = skipNote(linux !== undefined, 'there is no apt')

test.skipIf(linux === undefined)(
  `a tone that Linux's pcspkr plays is in the WAV file${note}`,
  { timeout: 120_000 },
  async () => {
    const { channels, rate, samples } = await record(linux!, folder, '--devices', 'worker')
    expect([channels, rate]).toEqual([1, 48_000])
    expect(samples.length).toBeGreaterThan(24_000)
    expect(samples.length).toBeLessThan(33_600)
    // Rises through the middle in the steady part.
    const part = samples.slice(4800, 4800 + 14_400)
    const rises = part.filter((sample, i) => i > 0 && sample >= 0 && part[i - 1]! < 0).length
    expect(rises / 0.3).toBeGreaterThan(435)
    expect(rises / 0.3).toBeLessThan(445)
  },
)
