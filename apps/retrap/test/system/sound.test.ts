import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { record, soundLinux } from '../support/sound-linux.ts'

const linux = await soundLinux()
const folder = temporaryFolder('sound')

const note = skipNote(linux !== undefined, 'there is no apt')

test.skipIf(linux === undefined)(
  `what Linux's driver plays is in the WAV file, sample for sample${note}`,
  { timeout: 120_000 },
  async () => {
    const { text, channels, rate, samples } = await record(linux!, folder, '--device', 'AC97')
    const sent = Buffer.from(/^sound (\S+)/m.exec(text)?.[1] ?? '', 'base64')
    expect(sent.length).toBeGreaterThan(4000)
    expect([channels, rate]).toEqual([2, 8000])
    // The kernel makes 16 bits and two channels of them. What follows is the silence that fills its last buffer.
    expect(samples.slice(0, 2 * sent.length)).toEqual(
      Array.from({ length: 2 * sent.length }, (_, i) => (sent[i >> 1]! - 128) * 256),
    )
  },
)
