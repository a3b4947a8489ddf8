import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DebianError, fetchMembers, type DebianErrorCode } from '@retrap/debian'
import { afterAll, expect, test, vi } from 'vitest'
import { debianMembers } from '../src/debian.ts'
import { cacheEnvironment, skipNote } from '../src/skip.ts'

vi.mock(import('@retrap/debian'), async (original) => ({ ...(await original()), fetchMembers: vi.fn() }))

const folder = mkdtempSync(join(tmpdir(), 'retrap-skip-'))
afterAll(() => rmSync(folder, { recursive: true }))

test('a name speaks of skipping only where the test is skipped', () => {
  expect(skipNote(true, 'nasm is not installed')).toBe('')
  expect(skipNote(false, 'nasm is not installed')).toBe(' (skipped: nasm is not installed)')
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
  { code: 'ERR_FETCH', message: 'apt could not get lists: Temporary failure resolving host', skips: true },
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
