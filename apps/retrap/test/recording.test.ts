/** Recorded runs: their files, and the command that runs them again. */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { optionsOfBundle, replayPc } from '@retrap/machine'
import { buildGuestImage } from '@retrap/embedded-guest'
import { openRecording } from '@retrap/recording'
import { TEST_LONG } from '@retrap/tooling/long'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { runHere } from './support/in-process.ts'
import { runRetrap } from './support/processes.ts'
import { sha256 } from './support/sha256.ts'

const folder = temporaryFolder('recordings')
const path = (name: string): string => join(folder, name)
const DEADLINE_MS = 60_000

test(
  'what the embedded guest was typed is run again, in another process, with the JIT and without',
  async () => {
    const file = path('guest.recording')
    const first = await runRetrap(['--record', file, '--record-bundle', '--timeout', '50'], {
      answers: [
        { to: 'retrap> ', type: 'echo one two\n\u0001cmark here\r' },
        { to: 'one two', type: '\noff\n' },
      ],
      deadlineMs: DEADLINE_MS,
    })
    expect(first.stderr).toMatch(/here: instruction \d+/)
    expect(first.stderr).toMatch(/retrap: recorded \d+ instructions to /)
    expect(first.code).toBe(0)
    for (const jit of ['on', 'off']) {
      const again = await runRetrap(['replay', file, '--jit', jit], { deadlineMs: DEADLINE_MS })
      expect(again.stdout).toBe(first.stdout)
      expect(again.code).toBe(0)
    }
    const asked = await runRetrap(['replay', file, '--who-wrote', '0xff0+0x10@p 8'], { deadlineMs: DEADLINE_MS })
    expect(asked.stderr).toMatch(/retrap: the instruction at 0x\w+ of CPU 0: goto \d+\n/)
    expect(asked.code).toBe(0)
    // The file has all that it takes.
    const bytes = fs.readFileSync(file)
    const source = { bytes: bytes.length, read: (at: number, count: number) => bytes.subarray(at, at + count) }
    const recording = await openRecording(source)
    const { about } = recording.description as { about: { bundle: object; images: number } }
    const images = await Promise.all(Array.from({ length: about.images }, (_, i) => recording.image(i)))
    const replay = await replayPc(optionsOfBundle({ options: about.bundle, images }), source)
    expect(await replay.run()).toEqual({ reason: 'power-off' })
    replay.close()
    const part = await runRetrap(['replay', file, '--goto', '100000'], { deadlineMs: DEADLINE_MS })
    expect(part.stderr).toContain('retrap: at instruction 100000\n')
    expect(first.stdout.startsWith(part.stdout)).toBe(true)
    expect(part.stdout.length).toBeLessThan(first.stdout.length)
    const wrong = await runRetrap(['replay', file, '--memory', '32M'], { deadlineMs: DEADLINE_MS })
    expect(wrong.stderr).toContain('the recording is of another machine: memoryBytes 67108864, expected 33554432')
    expect(wrong.code).toBe(2)
    const cut = path('cut.recording')
    fs.copyFileSync(file, cut)
    fs.truncateSync(cut, fs.statSync(cut).size - 10)
    const whole = await runRetrap(['replay', cut], { deadlineMs: DEADLINE_MS })
    expect(first.stdout.startsWith(whole.stdout)).toBe(true)
    expect(whole.code).toBe(0)
    for (const length of [3, 300, 3000]) {
      fs.writeFileSync(cut, bytes.subarray(0, length))
      const { code, stderr } = await runHere(['replay', cut], { deadlineMs: DEADLINE_MS })
      const lacks = length < 3000 ? 'the rest is missing' : "the machine's files are missing"
      expect([code, stderr]).toEqual([74, expect.stringContaining(`it ends at byte ${length}, and ${lacks}\n`)])
    }
    for (const more of [['--record-bundle'], []]) {
      const refused = ['--record', path('refused'), '--device', 'exec:./no-such', ...more]
      expect((await runHere(refused, { deadlineMs: DEADLINE_MS })).code).toBe(2)
    }
    expect(fs.existsSync(path('refused'))).toBe(false)
  },
  6 * DEADLINE_MS,
)

test(
  'images that a recording names are checked: one that is missing, or has changed, is named',
  { timeout: 2 * DEADLINE_MS },
  async () => {
    const [file, firmware] = [path('named.recording'), path('guest.bin')]
    const image = buildGuestImage()
    fs.writeFileSync(firmware, image)
    const args = ['run', '--firmware', firmware, '--record', file, '--record-bundle', '--record-images', 'named']
    const first = await runHere(args, { answers: [{ to: 'retrap> ', type: 'off\n' }], deadlineMs: DEADLINE_MS })
    expect([first.code, first.stderr]).toEqual([0, expect.stringContaining('recorded')])
    // Checkpoints have the memory that the guest was copied to: the file of the firmware is not among the images, which are the run's history.
    const bytes = fs.readFileSync(file)
    const source = { bytes: bytes.length, read: (at: number, count: number) => bytes.subarray(at, at + count) }
    const { images, description } = await openRecording(source)
    const sum = sha256(image)
    const named = [{ name: firmware, bytes: image.length, sha256: sum }]
    expect([images, description]).toEqual([1, expect.objectContaining({ about: expect.objectContaining({ named }) })])
    const again = await runHere(['replay', file], { deadlineMs: DEADLINE_MS })
    expect([again.code, again.stdout]).toEqual([0, first.stdout])
    fs.writeFileSync(firmware, image.fill(0, 0, 1))
    const changed = await runHere(['replay', file], { deadlineMs: DEADLINE_MS })
    expect([changed.code, changed.stderr]).toEqual([
      74,
      expect.stringMatching(`guest.bin of this recording has changed: its SHA-256 is [\\da-f]{64}, expected ${sum}`),
    ])
    fs.rmSync(firmware)
    // A device has no end, and is no image.
    fs.symlinkSync('/dev/zero', firmware)
    const missing = await runHere(['web', '--recording', file], { deadlineMs: DEADLINE_MS })
    expect([missing.code, missing.stderr]).toEqual([
      74,
      expect.stringContaining(
        `guest.bin of this recording is missing: put a file of ${image.length} bytes there, whose SHA-256 is ${sum}`,
      ),
    ])
  },
)

test.runIf(TEST_LONG)(
  'a board in a Worker is recorded, and run again without it',
  { timeout: 2 * DEADLINE_MS },
  async () => {
    const file = path('worker.recording')
    const first = await runRetrap(['--devices', 'worker', '--record', file], {
      answers: [
        { to: 'retrap> ', type: 'echo one two\n' },
        { to: 'one two', type: '\noff\n' },
      ],
      deadlineMs: DEADLINE_MS,
    })
    expect([first.code, first.stderr]).toEqual([0, expect.stringContaining('recorded')])
    const again = await runRetrap(['replay', file], { deadlineMs: DEADLINE_MS })
    expect([again.stdout, again.code]).toEqual([first.stdout, 0])
  },
)
