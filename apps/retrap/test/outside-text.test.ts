// Text of guests, device programs, servers, images and recordings goes through one place before people see it: what cleans
// texts is `plainLine` and `printable` of @retrap/basics, and no other function; the messages of all errors go through it, and
// so does what is written to stderr.
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { CliError } from '@retrap/linux-guest/errors'
import { explainError } from '../src/errors.ts'
import { plainOutput, printLines } from '../src/print-lines.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const sources = globSync(['packages/*/src/**/*.ts', 'apps/*/src/**/*.ts'], { cwd: root })
  .filter((path) => !path.startsWith('packages/tooling/'))
  .map((path) => [path, readFileSync(join(root, path), 'utf8')] as const)
const pathsWith = (pattern: RegExp): string[] => sources.filter(([, text]) => pattern.test(text)).map(([path]) => path)

/** Packages whose errors quote numbers, and options of the caller's, alone. */
const OF_NUMBERS =
  /^packages\/(?:arm-cpu|arm-mmio|engine|gdb|irqchip|mapcache|memory|p2m|paging|replay|trace|vapic|wasm-emitter|x86-assembler|x86-cpu|x86-decoder)\//
/** Packages without dependencies: who prints their messages, such as `explainError`, cleans them; migration cleans what comes. */
const BY_THEMSELVES = /^(?:packages\/(?:debian|guest|migration)|apps\/(?:fleet|web))\//
/** The message is the guest's screen in several lines, which is cleaned; an errno. */
const OTHERS: readonly string[] = ['packages/test/src/errors.ts', 'packages/xen/src/store/store-client.ts']

test('the messages of errors are made of plain text', () => {
  const classes = pathsWith(/class \w+ extends Error\b/).filter(
    (path) => !OF_NUMBERS.test(path) && !BY_THEMSELVES.test(path) && !OTHERS.includes(path),
  )
  const cleaning = new Set(pathsWith(/super\([^\n]*plainLine\(/))
  expect(classes.filter((path) => !cleaning.has(path))).toEqual([])
})

test('no other function cleans text', () => {
  // Of a report in XML, and of a package without dependencies.
  const known = ['apps/fleet/src/results/results.ts', 'packages/migration/src/frames.ts']
  const cleaners = pathsWith(/replace(?:All)?\(\s*\/[^\n]*(?:\\[pP]\{C|\\u0000-|\\x00-|\^\\x20-)/)
  expect(cleaners.toSorted()).toEqual(known)
})

test('nothing but the program itself knows where stderr is', () => {
  const known = [
    ...['apps/fleet/src/command.ts', 'apps/retrap/src/main.ts'],
    // Listings, whose errors `explainError` has cleaned; a sentence of ours.
    ...['commands/disasm/command.ts', 'commands/disasm/main.ts', 'commands/image/command.ts'].map(
      (path) => `apps/retrap/src/${path}`,
    ),
    'apps/retrap/src/machine/session/session-host.ts',
  ]
  const direct = pathsWith(
    /\bconsole\.(?:log|error|warn|info)\(|process\.stderr|\bstderr\b[^=\n]*\} = process\b/,
  ).filter((path) => path.startsWith('apps/retrap/'))
  const guarded = new Set(pathsWith(/plainOutput\(process\.stderr\)/))
  expect(direct.filter((path) => !guarded.has(path) && !known.includes(path))).toEqual([])
  expect(guarded.size).toBe(3)
})

test('texts on stdout go through one place: printText, or an output of plainOutput', () => {
  // A cluster's commands and exec have such an output; the others write a guest's bytes, and frames of a protocol.
  const known =
    /commands\/(?:cluster\/|crash-test\/|exec\/(?:act|command)|mcp\/server)|machine\/(?:devices\/devices|session\/session-terminal)/
  const direct = pathsWith(/stdout\.write\(/).filter((path) => path.startsWith('apps/retrap/'))
  expect(direct.filter((path) => !known.test(path))).toEqual([])
  expect(pathsWith(/plainOutput\((?:host|process)\.stdout\)/)).toHaveLength(2)
})

const HOSTILE = `\u001b[2J\u009b31m${'x'.repeat(1 << 20)}\r\nretrap: fine\rretrap\u202e`

test('an error is one line, and text on stderr and on a terminal gives no orders; a guest’s bytes stay', async () => {
  const { message } = explainError(new CliError('ERR_INPUT', HOSTILE))!
  expect(message).not.toMatch(/[\p{Cc}\p{Cf}]/u)
  expect(message.length).toBeLessThan(2200)
  const written: unknown[] = []
  const output = { isTTY: true, write: (data: string | Uint8Array) => written.push(data), on() {}, once() {} }
  const bytes = Buffer.from(HOSTILE.slice(-20))
  plainOutput(output).write(bytes)
  plainOutput(output).write('\r\na\rb\u001b[m\n')
  plainOutput(output).write('\r\nretrap: a\nretrap: b\r\n')
  plainOutput(output).write('a\nretrap: b\n')
  await printLines(['c\u001b[m\nd'], output)
  const messages = ['\r\nretrap: a retrap: b\r\n', 'a\n retrap: b\n']
  expect(written).toEqual([bytes, '\r\na\\x0db\\x1b[m\n', ...messages, 'c\\x1b[m d\n'])
})
