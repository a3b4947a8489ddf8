import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { writeCpio } from '@retrap/linux-guest/linux/cpio'
import { buildInitramfs } from '@retrap/linux-guest/linux/initramfs'

const encoder = new TextEncoder()

/** Reads an archive back, by the description in Linux's buffer-format.rst and not by our writer. */
function readCpio(archive: Uint8Array): { name: string; mode: number; rdev: [number, number]; data: string }[] {
  const ascii = (from: number, length: number): string =>
    new TextDecoder('latin1').decode(archive.subarray(from, from + length))
  const members = []
  for (let at = 0; ;) {
    expect(at % 4).toBe(0)
    expect(ascii(at, 6)).toBe('070701')
    const field = (index: number): number => Number.parseInt(ascii(at + 6 + index * 8, 8), 16)
    const name = ascii(at + 110, field(11) - 1)
    expect(archive[at + 110 + field(11) - 1]).toBe(0)
    const data = Math.ceil((at + 110 + field(11)) / 4) * 4
    if (name === 'TRAILER!!!') {
      expect(data).toBe(archive.length)
      return members
    }
    // Owner, group and time; the device that holds the file; the checksum, which this form does not have.
    expect([2, 3, 5, 7, 8, 12].map((index) => field(index))).toEqual([0, 0, 0, 0, 0, 0])
    members.push({ name, mode: field(1), rdev: [field(9), field(10)] as [number, number], data: ascii(data, field(6)) })
    at = Math.ceil((data + field(6)) / 4) * 4
  }
}

describe('a newc archive', () => {
  test('holds each member as it was given, whatever the lengths', () => {
    const archive = writeCpio([
      { kind: 'directory', path: 'dev' },
      { kind: 'character-device', path: 'dev/console', major: 5, minor: 1 },
      { kind: 'symlink', path: 'bin/sh', target: 'busybox' },
      ...[0, 1, 2, 3, 4, 5].map(
        (length) =>
          ({ kind: 'file', path: `f${'x'.repeat(length)}`, data: encoder.encode('y'.repeat(length)) }) as const,
      ),
    ])
    expect(readCpio(archive)).toEqual([
      { name: 'dev', mode: 0o040755, rdev: [0, 0], data: '' },
      { name: 'dev/console', mode: 0o020600, rdev: [5, 1], data: '' },
      { name: 'bin/sh', mode: 0o120777, rdev: [0, 0], data: 'busybox' },
      ...[0, 1, 2, 3, 4, 5].map((length) => ({
        name: `f${'x'.repeat(length)}`,
        mode: 0o100644,
        rdev: [0, 0],
        data: 'y'.repeat(length),
      })),
    ])
  })

  test('of equal content is equal', () => {
    const entries = [{ kind: 'file', path: 'a', data: encoder.encode('b') }] as const
    expect(writeCpio(entries)).toEqual(writeCpio(entries))
  })
})

test('the first process is a script that busybox can parse', () => {
  const members = readCpio(buildInitramfs(encoder.encode('#!/bin/sh')))
  const init = members.find(({ name }) => name === 'init')
  expect(init?.mode).toBe(0o100755)
  execFileSync('sh', ['-n'], { input: init?.data ?? 'fail (' })
})
