import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { skipNote } from '@retrap/tooling/skip'
import { afterAll, expect, test } from 'vitest'
import { runRetrap } from '../support/processes.ts'
import { soundLinux } from '../support/sound-linux.ts'

const linux = await soundLinux()
const folder = mkdtempSync(join(tmpdir(), 'retrap-sound-'))
afterAll(() => rmSync(folder, { recursive: true }))

const HEADER_BYTES = 44
const note = skipNote(linux !== undefined, 'there is no apt')

test.skipIf(linux === undefined)(
  `what Linux's driver plays is in the WAV file, sample for sample${note}`,
  { timeout: 120_000 },
  async () => {
    const initrd = join(folder, 'initrd')
    writeFileSync(initrd, linux!.initrd)
    const wav = join(folder, 'out.wav')
    // The driver measures its clock: on real time a busy host would show in the rate.
    const { stdout, stderr, code } = await runRetrap(
      [
        ...['run', '--deterministic', '--memory', '256M', '--kernel', linux!.kernelPath, '--initrd', initrd],
        ...['--append', 'console=ttyS0 quiet rdinit=/auto', '--device', 'AC97', '--audio', `wav:${wav}`],
      ],
      { deadlineMs: 110_000 },
    )
    expect(code, stdout + stderr).toBe(0)
    const sent = Buffer.from(/^sound (\S+)/m.exec(stdout)?.[1] ?? '', 'base64')
    expect(sent.length).toBeGreaterThan(4000)
    const bytes = readFileSync(wav)
    expect([bytes.readUInt16LE(22), bytes.readUInt32LE(24)]).toEqual([2, 8000])
    // The kernel makes 16 bits and two channels of them. What follows is the silence that fills its last buffer.
    const played = Array.from({ length: 2 * sent.length }, (_, i) => bytes.readInt16LE(HEADER_BYTES + 2 * i))
    expect(played).toEqual(Array.from({ length: 2 * sent.length }, (_, i) => (sent[i >> 1]! - 128) * 256))
  },
)
