// @programs: as aarch64-linux-gnu-as gcc aarch64-linux-gnu-gcc
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { TURN_CLOCK } from '../../src/jobs/guest-faults.ts'
import { RESOLVER } from '../../src/jobs/resolver.ts'
import { buildExecInitramfs } from '@retrap/linux-guest/linux/exec-initramfs'
import { buildInitramfs, reseed, watchGeneration } from '@retrap/linux-guest/linux/initramfs'

const AT = 64 + 56

/** The header of a program of an architecture (System V ABI, e_machine). */
function programOf(machine: number): Uint8Array {
  const header = new Uint8Array(128)
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  header[18] = machine
  return header
}

/** The section of an object file that has its instructions. */
function textOf(object: Buffer): Buffer {
  const sections = Number(object.readBigUInt64LE(40))
  // The first one behind the null section.
  const [at, bytes] = [24, 32].map((field) => Number(object.readBigUInt64LE(sections + 64 + field)))
  return object.subarray(at!, at! + bytes!)
}

const PROGRAMS = [
  ['watch-generation', watchGeneration, buildInitramfs],
  ['reseed', reseed, (busybox: Uint8Array) => buildExecInitramfs(busybox, [])],
] as const
const turnClock = (header: Uint8Array): Uint8Array =>
  new Uint8Array(Buffer.from(TURN_CLOCK[header[18] === 62 ? 'x86-64' : 'arm64'], 'base64'))
const ARCHITECTURES = [
  ['amd64', 62, 'as', process.arch === 'x64'],
  ['arm64', 183, 'aarch64-linux-gnu-as', true],
] as const

test.each(
  [...PROGRAMS, ['turn-clock', turnClock] as const].flatMap(([name, make]) =>
    ARCHITECTURES.map(([arch, ...rest]) => [`${name}/${arch}`, make, ...rest] as const),
  ),
)('the program %s is its source', (name, make, machine, assembler, isHere) => {
  const isThere = isHere && hasProgram(assembler)
  const folder = temporaryFolder('watch')
  const source = join(import.meta.dirname, 'programs', `${name}.s`)
  const program = make(programOf(machine))!
  // A lone program header, whose segment is the file.
  expect([program[18], Buffer.from(program.buffer).readUInt32LE(64 + 32)]).toEqual([machine, program.length])
  if (!isThere) return console.log(skipNote(false, `there is no ${assembler}`))
  execFileSync(assembler, [source, '-o', join(folder, 'o')])
  expect(Buffer.from(program.subarray(AT))).toEqual(textOf(readFileSync(join(folder, 'o'))))
})

const FLAGS =
  '-Os -ffreestanding -fno-builtin -fno-tree-loop-distribute-patterns -fno-stack-protector -fno-asynchronous-unwind-tables -fno-ident -fno-pic -no-pie -static -nostdlib -s -Wall -Wextra -Werror -Wl,--build-id=none,-z,noseparate-code,-z,max-page-size=4096'

test.each([
  ['x86-64', process.arch === 'x64' ? 'gcc' : 'x86_64-linux-gnu-gcc'],
  ['arm64', 'aarch64-linux-gnu-gcc'],
] as const)('the resolver for %s is its source, by the compiler of Debian 12', (arch, compiler) => {
  const isThere = hasProgram(compiler) && `${execFileSync(compiler, ['-dumpfullversion'])}` === '12.2.0\n'
  if (!isThere) return console.log(skipNote(false, `there is no ${compiler} 12.2.0`))
  const made = join(temporaryFolder('resolver'), arch)
  execFileSync(compiler, [...FLAGS.split(' '), '-o', made, join(import.meta.dirname, 'programs/resolver.c')])
  expect(readFileSync(made, 'base64')).toBe(RESOLVER[arch])
})

test.each(PROGRAMS)('the initial RAM disk has %s of its busybox, and none for what is no program', (_, make, build) => {
  const has = (busybox: Uint8Array): boolean =>
    Buffer.from(build(busybox)).includes(Buffer.from(make(programOf(62))!.subarray(AT)))
  expect([has(programOf(62)), has(programOf(3)), has(new TextEncoder().encode('#!/bin/sh'))]).toEqual([
    true,
    false,
    false,
  ])
})
