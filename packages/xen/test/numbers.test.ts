import { constants } from 'node:os'
import { expect, test } from 'vitest'
import { XenErrno } from '../src/numbers.ts'

// Xen's public header errno.h has Linux's numbers; the host of another system has others.
/** Those that are written otherwise. */
const NAMES: Readonly<Record<string, string>> = { TOOBIG: 'E2BIG' }

test.runIf(process.platform === 'linux')("errors have the numbers of Linux's", () => {
  const host: Readonly<Record<string, number | undefined>> = constants.errno
  const expected = Object.keys(XenErrno).map((name) => [name, -host[NAMES[name] ?? `E${name}`]!])
  expect(XenErrno).toEqual(Object.fromEntries(expected))
})
