import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DebianError, fetchMembers, type DebianErrorCode } from '@retrap/debian'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test, vi } from 'vitest'
import { debianMembers } from '../src/debian.ts'
import { cacheEnvironment, hasProgram, skipNote } from '../src/skip.ts'

vi.mock(import('@retrap/debian'), async (original) => ({ ...(await original()), fetchMembers: vi.fn() }))

const folder = temporaryFolder('skip')

test('a name speaks of skipping only where the test is skipped', () => {
  expect(skipNote(true, 'nasm is not installed')).toBe('')
  expect(skipNote(false, 'nasm is not installed')).toBe(' (skipped: nasm is not installed)')
})

test.each<[what: string, text: string, mode: number, runs: boolean, note?: RegExp]>([
  ['a program that runs', '#!/bin/sh\n', 0o755, true],
  ['a program that knows another option', '#!/bin/sh\n[ "$1" = -V ] || exit 1\n', 0o755, true],
  ['a shim without a program', '#!/bin/sh\necho no toolchain >&2; exit 1\n', 0o755, false, /exit code 1: no toolchain/],
  ['a file that may not be executed', '#!/bin/sh\n', 0o644, false, /EACCES/],
  ['a script whose interpreter is missing', '#!/nonexistent/sh\n', 0o755, false, /ENOENT/],
  ['a program that is killed', '#!/bin/sh\nkill -9 $$\n', 0o755, false, /SIGKILL/],
])('%s counts as there, or is named', (what, text, mode, runs, note) => {
  const bin = join(folder, what)
  mkdirSync(bin)
  // This program is asked by -V.
  writeFileSync(join(bin, 'socat'), text, { mode })
  vi.stubEnv('PATH', bin)
  const printed = vi.spyOn(console, 'error').mockReturnValue()
  expect(hasProgram('socat')).toBe(runs)
  expect(hasProgram('nasm')).toBe(false)
  expect(printed.mock.calls.flat()).toEqual(note === undefined ? [] : [expect.stringMatching(note)])
  printed.mockRestore()
  vi.unstubAllEnvs()
})

test('the cache is the user’s where it can be made, and elsewhere where it cannot', () => {
  const path = (name: string): string => join(folder, name)
  mkdirSync(path('home'))
  writeFileSync(path('file'), '')
  mkdirSync(path('locked'))
  chmodSync(path('locked'), 0o500)
  expect(cacheEnvironment({ HOME: path('home') })).toEqual({})
  expect(cacheEnvironment({ HOME: path('file'), XDG_CACHE_HOME: path('new/cache') })).toEqual({})
  const elsewhere = { XDG_CACHE_HOME: join(tmpdir(), `retrap-cache-${process.getuid?.() ?? 0}`) }
  expect(cacheEnvironment({ HOME: path('file') })).toEqual(elsewhere)
  expect(cacheEnvironment({ HOME: path('home'), XDG_CACHE_HOME: path('file/cache') })).toEqual(elsewhere)
  // Root writes everywhere.
  if (process.getuid?.() !== 0) expect(cacheEnvironment({ HOME: path('locked') })).toEqual(elsewhere)
})

test.each<{ code: DebianErrorCode; message: string; skips: boolean }>([
  { code: 'ERR_NO_APT', message: 'apt is not installed on this machine', skips: true },
  { code: 'ERR_CACHE', message: 'the cache folder /x cannot be used: it may not be written', skips: true },
  { code: 'ERR_NETWORK', message: 'novnc cannot be fetched: getaddrinfo ENOTFOUND deb.debian.org', skips: true },
  { code: 'ERR_FETCH', message: 'apt could not get it: Unable to locate package', skips: false },
])('tests go without files of Debian, or fail: $message', async ({ code, message, skips }) => {
  vi.mocked(fetchMembers).mockRejectedValue(new DebianError(code, message))
  const warned = vi.spyOn(console, 'warn').mockReturnValue()
  const members = debianMembers([{ package: 'novnc', members: [] }])
  if (!skips) await expect(members).rejects.toThrow(message)
  else expect(await members).toBe(undefined)
  expect(warned.mock.calls).toEqual(skips ? [[`without novnc: ${message}`]] : [])
  warned.mockRestore()
})
