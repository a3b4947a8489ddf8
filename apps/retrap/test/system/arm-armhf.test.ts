import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import { withLong } from '@retrap/tooling/long'
import { hasProgram } from '@retrap/tooling/skip'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Apt } from '@retrap/debian'
import { writeCpio } from '@retrap/linux-guest/linux/cpio'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import { runRetrap } from '../support/processes.ts'
import { sha256 } from '../support/sha256.ts'

const COMPILER = 'arm-linux-gnueabihf-gcc'
const COMPILER64 = 'aarch64-linux-gnu-gcc'
const hasApt = await Apt.isAvailable()
const canRun = hasApt && hasProgram(COMPILER) && hasProgram(COMPILER64)
if (!canRun) console.warn('SKIPPED: programs of armhf need apt and a cross compiler')

const DEADLINE_MS = 240_000
const MARK = '== '
const FLAGS = ['-O1', '-nostdlib', '-static', '-ffreestanding', '-fno-builtin', '-fno-stack-protector']
const TARGET = ['-march=armv8-a', '-mfpu=crypto-neon-fp-armv8', '-mfloat-abi=hard', '-masm-syntax-unified']
const LIBRARIES = ['libc.so.6', 'libresolv.so.2', 'ld-linux-armhf.so.3']
/** Of `programs/armhf.c`: a line for each part, none of which found anything wrong. */
const PARTS = ['counter', 'threads', 'signals', 'devices'].map((part) => `OK ${part}\n`).join('')

const FLAGS64 = ['-O2', '-nostdlib', '-static', '-ffreestanding', '-mbranch-protection=standard', '-Wl,-z,force-bti']
/** Of `programs/branch-targets.c`, whose pages are guarded. */
const GUARDED = ['calls and jumps', 'landings', 'bad calls', 'bad jumps'].map((part) => `OK ${part}\n`).join('')

/** Everything that runs is of 32 bits but for the kernel, and one program for FEAT_BTI. */
describe.skipIf(!canRun)("armhf programs on Debian's arm64 kernel", () => {
  let folder = ''
  let kernel = ''
  let sum = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'retrap-armhf-'))
    kernel = (await fetchLinux('linux-image-arm64', {}, 'arm64')).kernelPath
    const found = await debianMembers([
      { package: 'busybox-static:armhf', members: ['./bin/busybox'] },
      { package: 'busybox:armhf', members: ['./bin/busybox'] },
      { package: 'libc6:armhf', members: LIBRARIES.map((name) => `./lib/arm-linux-gnueabihf/${name}`) },
    ])
    if (found === undefined) throw new Error('the packages are gone')
    const [stat, dynamic, libc] = found as [string, string, string]
    const executable = async (path: string, from: string) =>
      ({ kind: 'file', path, mode: 0o755, data: await readFile(from) }) as const
    const compiled = async (compiler: string, name: string, from: string, flags: readonly string[]) => {
      const file = join(folder, name)
      const source = join(import.meta.dirname, 'programs', from)
      const { status, stderr } = spawnSync(compiler, [...flags, '-o', file, source])
      if (status !== 0) throw new Error(String(stderr))
      return executable(name, file)
    }
    const flags32 = [...FLAGS, ...TARGET, '-Wa,-mimplicit-it=always', '-Wl,-z,noexecstack']
    const programs = [
      ...['arm', 'thumb'].map((set) => compiled(COMPILER, set, 'armhf.c', [...flags32, `-m${set}`])),
      compiled(COMPILER64, 'guarded', 'branch-targets.c', FLAGS64),
    ]
    sum = sha256(await readFile(join(stat, 'bin/busybox')))
    const commands = [
      'mount -t proc proc /proc',
      'mount -t devtmpfs devtmpfs /dev',
      ...['arm', 'thumb', 'guarded', 'usr/busybox sha256sum /bin/busybox'].map(
        (each) => `echo "${MARK}${each}"; /${each}`,
      ),
      `echo "${MARK}awk"; awk 'BEGIN { print 1 / 3, 22 / 7 }'`,
      `echo "${MARK}end"; poweroff -f`,
    ]
    const init = ['#!/bin/busybox sh', '/bin/busybox --install -s /bin', 'export PATH=/bin', ...commands].join('\n')
    const initrd = writeCpio([
      ...['bin', 'dev', 'lib', 'proc', 'usr'].map((path) => ({ kind: 'directory', path }) as const),
      { kind: 'character-device', path: 'dev/console', major: 5, minor: 1 },
      await executable('bin/busybox', join(stat, 'bin/busybox')),
      { kind: 'symlink', path: 'bin/sh', target: 'busybox' },
      await executable('usr/busybox', join(dynamic, 'bin/busybox')),
      ...(await Promise.all(
        LIBRARIES.map((name) => executable(`lib/${name}`, join(libc, 'lib/arm-linux-gnueabihf', name))),
      )),
      ...(await Promise.all(programs)),
      { kind: 'file', path: 'init', mode: 0o755, data: new TextEncoder().encode(`${init}\n`) },
    ])
    await writeFile(join(folder, 'initrd'), initrd)
  }, DEADLINE_MS)

  afterAll(async () => rm(folder, { recursive: true, force: true }))

  test.each(withLong([[2, 'async', 'on'] as const], [[1, 'inline', 'off'] as const]))(
    'run with %d CPUs, devices %s, the JIT %s',
    async (cpus, devices, jit) => {
      const args = ['run', '--arch', 'arm64', '--kernel', kernel, '--initrd', join(folder, 'initrd')]
      const options = ['--cpus', `${cpus}`, '--devices', devices, '--jit', jit, '--memory', '256M']
      // The programs access devices that drivers of the kernel have.
      const append = ['--append', 'console=ttyAMA0 quiet cryptomgr.notests iomem=relaxed']
      const { stdout, stderr } = await runRetrap([...args, ...options, ...append], { deadlineMs: DEADLINE_MS })
      expect(stderr).toBe('')
      const parts = new Map<string, string>()
      for (const part of stdout.replaceAll('\r', '').split(MARK).slice(1)) {
        const end = part.indexOf('\n')
        parts.set(part.slice(0, end), part.slice(end + 1))
      }
      expect(parts.get('arm')).toBe(`${PARTS}PASSED\n`)
      expect(parts.get('thumb')).toBe(`${PARTS}PASSED\n`)
      expect(parts.get('guarded')).toBe(GUARDED)
      expect(parts.get('usr/busybox sha256sum /bin/busybox')).toBe(`${sum}  /bin/busybox\n`)
      expect(parts.get('awk')).toBe('0.333333 3.14286\n')
      expect(parts.has('end')).toBe(true)
    },
    DEADLINE_MS,
  )
})
