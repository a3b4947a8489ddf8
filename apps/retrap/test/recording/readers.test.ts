/** A recording of any origin is opened by each reader, which shows the same of it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPc, type PcOptions } from '@retrap/machine'
import { afterAll, expect, test } from 'vitest'
import { runHere, useInterpreters } from '../support/in-process.ts'
import { busyKernel, MEMORY_BYTES } from '../support/readers/guest.ts'
import { loadPage } from '../support/readers/page.ts'

const folder = mkdtempSync(join(tmpdir(), 'retrap-readers-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const DEADLINE_MS = 200_000

/** A recording of the page from a saved machine on, whose kernel is not there any more. */
async function recordedInPage(): Promise<{ readonly file: string; readonly printed: string }> {
  await useInterpreters('x86')
  const page = await loadPage()
  const machine: PcOptions = { memoryBytes: MEMORY_BYTES, codeCacheBytes: 4 << 20, boot: { mirrorsScreen: false } }
  const first = await createPc({ ...machine, kernel: busyKernel(), keepsPace: true })
  await first.run({ timeoutMs: 200 })
  const snapshot = await page.takenNow(first, new Uint8Array())
  first.close()
  const options = { ...machine, ...snapshot.forPc(true) }
  const run = await page.recordedRun(options, { images: {}, drives: null, shared: false, memoryBytes: MEMORY_BYTES })
  const [file, pc] = [join(folder, 'page.recording'), run.live!]
  let printed = ''
  pc.serial.onTransmit((bytes) => (printed += Buffer.from(bytes).toString()))
  await pc.run({ timeoutMs: 200 })
  run.mark('typed')
  for (const byte of Buffer.from('hello')) pc.serial.receive(Uint8Array.of(byte))
  await pc.run({ timeoutMs: 500 })
  writeFileSync(file, Buffer.from(await (await run.file()).arrayBuffer()))
  run.close()
  return { file, printed }
}

test(
  'a recording of the page that begins with a saved machine needs no other file',
  { timeout: 3 * DEADLINE_MS },
  async () => {
    const { file, printed } = await recordedInPage()
    const again = await runHere(['replay', file], { deadlineMs: DEADLINE_MS })
    expect([again.code, printed.startsWith(again.stdout)]).toEqual([0, true])
    expect(again.stdout.replaceAll('.', '')).toBe('hello')
    const part = await runHere(['replay', file, '--goto', 'typed'], { deadlineMs: DEADLINE_MS })
    expect([part.code, part.stderr]).toEqual([0, expect.stringMatching(/at instruction \d+\n/)])
    const behind = await runHere(['replay', file, '--goto', '999s'], { deadlineMs: DEADLINE_MS })
    expect([behind.code, behind.stderr]).toEqual([
      2,
      expect.stringMatching(/--goto 999s: the recording ends before, at instruction \d+, at \d+ ns\n/),
    ])
  },
)
