import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import type { Attempt, Job } from '../src/plan/job.ts'
import { ExpectedTexts, MachineLostError, runMachine, untilItCounts } from '../src/worker/machine-process.ts'

const folder = mkdtempSync(join(tmpdir(), 'fleet-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const FAKE = fileURLToPath(new URL('support/fake-retrap.mjs', import.meta.url))
const log = join(folder, 'j.1.log')

const going = new AbortController().signal
const jobOf = (args: readonly string[], job: Partial<Job> = {}): Job => ({
  ...{ id: 'j', name: 'j', system: 'run', folder, args, expect: [], timeoutSeconds: 60, retries: 0 },
  ...job,
})

function run(args: readonly string[], job: Partial<Job> = {}, signal = going): Promise<Attempt> {
  return runMachine({ retrap: [process.execPath, FAKE], logs: folder }, jobOf(args, job), 1, signal)
}

const PRELOAD = new URL('../src/worker/end-with-parent.mjs', import.meta.url).href

/** Runs a machine that the host ends so often. */
async function runKilled(times: number, args: readonly string[] = [], signal = going): Promise<Attempt> {
  const killed = join(folder, 'killed')
  writeFileSync(killed, 'x'.repeat(times))
  const retrap = [process.execPath, '--import', PRELOAD, FAKE] as const
  const job = jobOf([`--killed=${killed}`, '--print=yes', ...args])
  return untilItCounts((...attempt) => runMachine({ retrap, logs: folder }, ...attempt), job, 1, signal)
}

test("a machine's guest does not reach the worker's loopback", async () => {
  const tells = 'console.log(process.env.RETRAP_HOST_LOOPBACK)'
  const end = await runMachine({ retrap: [process.execPath, '-e', tells], logs: folder }, jobOf([]), 1, going)
  expect(end).toMatchObject({ outcome: 'passed', tail: 'off\n' })
})

describe('a machine that the host ends', () => {
  test.each(['--kill', '--heeds'])('is made anew, and its attempt counts then (%s)', async (how) => {
    const end = await runKilled(1, [how])
    expect(end).toMatchObject({ outcome: 'passed', attempt: 1, tail: 'yes' })
    expect(readFileSync(join(folder, 'killed'), 'utf8')).toBe('')
  })

  test('again and again is an error, and no end of the guest', async () => {
    expect(await runKilled(9)).toMatchObject({
      outcome: 'error',
      detail: 'the host has ended the machine by SIGKILL, as 2 times before',
    })
    expect(readFileSync(join(folder, 'killed'), 'utf8')).toBe('xxxxxx')
  })

  test('is not made anew where the run is ended, too', async () => {
    const ended = new AbortController()
    const make = () => {
      ended.abort()
      return Promise.reject(new MachineLostError('lost'))
    }
    const end = await untilItCounts(make, jobOf([]), 1, ended.signal)
    expect(end).toMatchObject({ outcome: 'error', detail: 'the run was ended' })
  })
})

describe('a machine in a process', () => {
  test('has passed when the expected texts are there in their order, and is ended then', async () => {
    const end = await run(['--print=on|e tw|o th|ree', '--stay'], { expect: ['one', 'two three'] })
    expect(end).toMatchObject({ outcome: 'passed', detail: '', attempt: 1 })
    expect(readFileSync(log, 'utf8')).toBe('one two three')
  })

  test.each([
    { print: 'a pa|nic at', expect: [], seen: 'panic' },
    { print: 'a panic and done', expect: ['done'], seen: 'panic' },
    { print: 'BUG: |x', expect: ['done'], seen: 'BUG:' },
    { print: 'done, then panic', expect: ['done'], seen: undefined },
    { print: 'do|ne, then panic', expect: ['done'], seen: undefined },
  ])('fails at once where it prints a text that fails it: $print', async ({ print, expect: texts, seen }) => {
    const end = await run([`--print=${print}`, '--stay'], {
      expect: texts,
      fail: ['panic', 'BUG:'],
      timeoutSeconds: 20,
    })
    expect(end).toMatchObject(
      seen === undefined
        ? { outcome: 'passed' }
        : { outcome: 'ended', detail: `it has printed ${JSON.stringify(seen)}` },
    )
  })

  const missing = (text: string) => `; it has not printed "${text}"`
  test.each([
    ['--print=x', [], { outcome: 'passed', exitCode: 0, tail: 'x' }],
    ['--exit=86', [], { outcome: 'ended', detail: 'the machine ended with exit code 86' }],
    ['--print=two one', ['one', 'two'], { detail: `the machine ended with exit code 0${missing('two')}` }],
    ['--exit=124', ['x'], { outcome: 'timeout', detail: `60 s are over${missing('x')}` }],
    ['--exit=2 --print=no_such_option\\n', [], { outcome: 'error', detail: 'no_such_option' }],
  ])('of %s, where %j is expected, is %j', async (args, texts, end) => {
    const words = args.startsWith('--exit') ? args.split(' ') : [args]
    expect(await run(words, { expect: texts })).toMatchObject(end)
  })

  test.each([
    ['', 'error'],
    ['{"seed":1,"branches":2,"findings":[]', 'error'],
    ['{"seed":1,"branches":2,"findings":[]}', 'passed'],
  ])('that explores a cluster, and says %j of it, has an outcome: %s', async (told, outcome) => {
    const retrap = [process.execPath, '-e', `console.log(${JSON.stringify(told)})`] as const
    const end = await runMachine({ retrap, logs: folder }, jobOf([], { system: 'cluster' }), 1, going)
    expect(end).toMatchObject({ outcome })
  })

  test('is ended with the run, and one that hears no SIGTERM as well', async () => {
    const ended = new AbortController()
    const end = run(['--stay', '--deaf'], {}, ended.signal)
    ended.abort()
    expect(await end).toMatchObject({ outcome: 'error', detail: 'the run was ended', exitCode: null })
  })

  test('that prints without end has a log of 16 MiB', async () => {
    expect(await run(['--flood'])).toMatchObject({ outcome: 'passed' })
    expect(statSync(log).size).toBe(16 << 20)
  })

  test('a program that is not there is an error', async () => {
    const end = await runMachine({ retrap: [join(folder, 'nothing')], logs: folder }, jobOf([]), 1, going)
    expect(end).toMatchObject({ outcome: 'error', detail: expect.stringContaining('ENOENT') })
  })

  test.skipIf(!existsSync('/dev/full'))('whose log cannot be written is ended, with one line', async () => {
    symlinkSync('/dev/full', join(folder, 'full.1.log'))
    const end = await run(['--print=x', '--stay'], { id: 'full' })
    expect(end).toMatchObject({
      outcome: 'error',
      detail: expect.stringMatching(/^its log cannot be written: ENOSPC.*$/),
    })
    const absent = await runMachine({ retrap: [process.execPath, FAKE], logs: join(folder, 'no') }, jobOf([]), 1, going)
    expect(absent).toMatchObject({ outcome: 'error', detail: expect.stringMatching(/^its log .*ENOENT.*$/) })
  })
})

test('texts are found wherever the pieces are cut', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(
      fc.array(text, { maxLength: 3 }),
      fc.array(fc.string({ unit: fc.constantFrom('a', 'b') })),
      (texts, pieces) => {
        const expected = new ExpectedTexts(texts)
        const found = pieces.map((piece) => expected.add(Buffer.from(piece))).includes(true)
        let at = 0
        const whole = pieces.join('')
        const isThere = texts.every((one) => {
          const next = whole.indexOf(one, at)
          at = next + one.length
          return next >= 0
        })
        expect(expected.isComplete).toBe(isThere)
        if (pieces.length > 0) expect(found).toBe(isThere)
      },
    ),
  )
})
