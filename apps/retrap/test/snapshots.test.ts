/** Saved runs: their files, and the command that goes on with them. */
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test, vi } from 'vitest'
import type { GuestPageSource } from '@retrap/hvm'
import { createPc, type PcSnapshot } from '@retrap/machine'
import { Assembler, dword, eax, ecx, edi, imm32 } from '@retrap/x86-assembler'
import { SessionSnapshots } from '../src/machine/snapshots/session-snapshots.ts'
import {
  argumentsToKeep,
  hostDigest,
  openSnapshotFile,
  readSavedRun,
  writeSnapshotFile,
} from '@retrap/linux-guest/machine/snapshots/snapshot-file'
import { createImage } from '../src/commands/image/create.ts'
import { type SavedDisk, lookAtDisks, refuseChangedDisks } from '@retrap/linux-guest/machine/snapshots/saved-disks'
import { runHere } from './support/in-process.ts'
import { runRetrap } from './support/processes.ts'
import { writingKernel } from './support/writing-guest.ts'

const folder = temporaryFolder('snapshots')
const path = (name: string): string => join(folder, name)

const SNAPSHOT = {
  state: { version: 1, machine: { cpus: 1 } } as unknown as PcSnapshot['state'],
  pages: { gfns: Uint32Array.of(7), bytes: new Uint8Array(4096).fill(3) },
}
const RUN = { version: 1, arguments: ['run', 'a.img'], savedAt: '2026-01-01T00:00:00.000Z' } as const

test('options of one run are not kept', () => {
  const given = 'run a.img --timeout 5 --cpus 2 --save-on-exit=x --command reboot -m --timeout=3 --stats json'.split(
    ' ',
  )
  expect(argumentsToKeep(given)).toEqual(['run', 'a.img', '--cpus', '2', '-m', '--stats', 'json'])
})

test('a file has the run and its machine', async () => {
  const bytes = await writeSnapshotFile(path('a'), RUN, SNAPSHOT)
  expect(fs.statSync(path('a')).size).toBe(bytes)
  expect(fs.readdirSync(folder)).toEqual(['a'])
  expect(await readSavedRun(path('a'))).toEqual(RUN)
  const written = { ...RUN, writes: ['disk0'] }
  await writeSnapshotFile(path('b'), written, SNAPSHOT)
  await expect(readSavedRun(path('b'))).rejects.toThrow('what its guest had written to disk0')
  const progress: number[][] = []
  const { state, pages } = await openSnapshotFile(path('a'), {
    onProgress: (...figures) => progress.push(figures),
    verify: true,
  })
  expect(state).toEqual(SNAPSHOT.state)
  expect(pages.gfns).toEqual(SNAPSHOT.pages.gfns)
  const source = pages as GuestPageSource
  expect(source.contents(0)).toEqual(SNAPSHOT.pages.bytes)
  expect(progress).toEqual([[1, 1]])
  source.close?.()
})

test('a file that cannot be written is an error of the user’s, and nothing of it stays', async () => {
  const writing = writeSnapshotFile(path('no/such'), RUN, SNAPSHOT)
  await expect(writing).rejects.toMatchObject({ code: 'ERR_INPUT', message: expect.stringContaining('no/such') })
  fs.writeFileSync(path('state'), 'before')
  const bad = { ...SNAPSHOT, state: { f: () => 0 } as unknown as PcSnapshot['state'] }
  await expect(writeSnapshotFile(path('state'), RUN, bad)).rejects.toMatchObject({ code: 'ERR_INPUT' })
  expect(fs.readFileSync(path('state'), 'utf8')).toBe('before')
  expect(fs.readdirSync(folder).filter((name) => name.endsWith('.partial'))).toEqual([])
})

test.skipIf(process.platform === 'win32')('what is no regular file keeps its place', async () => {
  // Root may rename a file over a device too; a pipe stands for it.
  spawnSync('mkfifo', [path('pipe')])
  const error = { code: 'ERR_INPUT', message: `cannot write the snapshot ${path('pipe')}: it is not a regular file` }
  await expect(writeSnapshotFile(path('pipe'), RUN, SNAPSHOT)).rejects.toMatchObject(error)
  expect(fs.statSync(path('pipe')).isFIFO()).toBe(true)
})

test('what a machine keeps in memory alone is not saved without a word', async () => {
  const tell = (): void => {}
  const drive = { id: 'hd0', path: 'a.img', snapshot: true }
  const snapshots = new SessionSnapshots({ arguments: [] }, [drive as never], tell)
  const machine = { save: () => Promise.resolve(SNAPSHOT) }
  await expect(snapshots.save(machine, path('b'))).rejects.toMatchObject({ message: expect.stringContaining('hd0') })
})

test('a run that is replayed is not saved', async () => {
  const snapshots = new SessionSnapshots({ arguments: [] }, [], () => {})
  await expect(snapshots.save({}, path('e'))).rejects.toMatchObject({ message: expect.stringContaining('recording') })
})

test('a machine that commands have changed is not what its command line makes', async () => {
  const snapshots = new SessionSnapshots({ arguments: [] }, [], () => {})
  const machine = { save: () => Promise.resolve(SNAPSHOT) }
  expect(await snapshots.save(machine, path('d'))).toContain('saved to')
  snapshots.changed('device_add')
  await expect(snapshots.save(machine, path('d'))).rejects.toMatchObject({
    message: expect.stringContaining('device_add has changed it'),
  })
})

test('a file that cannot take the machine at the end is an error before it is made', async () => {
  const none = new SessionSnapshots({ arguments: [], onExit: path('no/such') }, [], () => {})
  await expect(none.open()).rejects.toThrow(`--save-on-exit: ${path('no/such')}: there is no folder ${path('no')}`)
  await expect(new SessionSnapshots({ arguments: [] }, [], () => {}).open()).resolves.toBeUndefined()
  const { code, stdout, stderr } = await runRetrap(['--save-on-exit', path('no/such')], { deadlineMs: DEADLINE_MS })
  expect([code, stdout]).toEqual([74, ''])
  expect(stderr).toContain('there is no folder')
}, 60_000)

test('a run that the guest ends leaves no file', async () => {
  const snapshots = new SessionSnapshots({ arguments: [], onExit: path('c') }, [], () => {})
  const machine = { save: () => Promise.resolve(SNAPSHOT) }
  expect(await snapshots.saveOnExit(machine, true)).toContain('nothing was saved')
  expect(fs.readdirSync(folder)).not.toContain('c')
})

const DEADLINE_MS = 60_000

const MODULE = fileURLToPath(import.meta.url)
test.each<[string, string, () => string, string]>([
  ['restore', 'none at all', () => path('missing'), 'no such file'],
  ['restore', 'something else', () => MODULE, 'this is no snapshot file'],
  ['replay', 'none at all', () => path('missing'), 'no such file'],
  ['replay', 'something else', () => MODULE, 'this is no recording'],
])('%s of %s says so', { timeout: DEADLINE_MS }, async (command, _what, file, message) => {
  const { code, stderr } = await runRetrap([command, file()], { deadlineMs: DEADLINE_MS })
  expect(stderr).toContain(message)
  expect(code).toBe(74)
})

test('the embedded guest goes on at its prompt, in another process', { timeout: 2 * DEADLINE_MS }, async () => {
  const file = path('guest.snapshot')
  const first = await runRetrap(['--save-on-exit', file, '--timeout', '50'], {
    answers: [
      { to: 'retrap> ', type: 'echo one two\n' },
      { to: 'retrap> ', type: '\u0001x' },
    ],
    deadlineMs: DEADLINE_MS,
  })
  expect(first.stderr).toMatch(/saved to .*guest\.snapshot: [\d.]+ MiB; the guest stood still for \d+ ms/)
  expect(first.code).toBe(0)
  const second = await runRetrap(['restore', file, '--timeout', '50'], {
    input: 'echo three\noff\n',
    deadlineMs: DEADLINE_MS,
  })
  expect(second.stderr).toMatch(
    /^retrap: going on, as it was 20\S+, with: retrap [^\n]*\n(retrap: \d+ % of its memory has been read\r?\n)*$/,
  )
  expect(second.stdout).toMatch(/^three\r?$/m)
  expect(second.stdout).not.toContain('from the reset vector')
  expect(second.code).toBe(0)
  // Before the index and the end, which are short, are pages.
  const damaged = fs.readFileSync(file)
  damaged[damaged.length - 300]! ^= 1
  fs.writeFileSync(file, damaged)
  const third = await runHere(['restore', file, '--timeout', '50'], { input: 'off\n', deadlineMs: DEADLINE_MS })
  const where = /guest\.snapshot: the snapshot is damaged in section PAGE, at byte \d+\n$/
  expect([third.code, third.stderr]).toEqual([74, expect.stringMatching(where)])
  expect(third.stderr).not.toContain('internal error')
  await expect(openSnapshotFile(file, { verify: true })).rejects.toMatchObject({
    code: 'ERR_INPUT',
    message: expect.stringMatching(/section PAGE, at byte \d+$/),
  })
})

/** Fills 300 pages, each with another word, and reads the last one for ever. */
function pagesKernel(): Uint8Array {
  const base = 0x10_0000
  const pages = 0x200_0000
  const asm = new Assembler({ bits: 32, address: base })
  const entry = asm.label('entry')
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), base, base, 0, 0, entry).bind(entry)
  const fill = asm.mov(edi, imm32(pages)).mov(ecx, imm32(300)).here()
  asm.mov(dword(edi), ecx).add(edi, imm32(4096)).dec(ecx).jnz(fill)
  const read = asm.mov(edi, imm32(pages + 299 * 4096)).here()
  asm.mov(eax, dword(edi)).jmp(read)
  return asm.assemble().bytes
}

test.each([
  { host: 'this one', verified: false },
  { host: 'another one', verified: true },
])('a page that is damaged in a file of $host ends the run where it is needed, or before', async ({ verified }) => {
  const [kernel, file] = [path('kernel'), path('pages.snapshot')]
  fs.writeFileSync(kernel, pagesKernel())
  const options = { memoryBytes: 48 << 20, kernel: pagesKernel(), codeCacheBytes: 1 << 20 } as const
  const pc = await createPc(options)
  const stop = new AbortController()
  const running = pc.run({ signal: stop.signal })
  const last = new Uint8Array(1)
  await vi.waitUntil(() => pc.domain.guestMemory.read(0x200_0000 + 299 * 4096, last) && last[0] !== 0, 100_000)
  stop.abort()
  await running
  const run = { ...RUN, arguments: ['run', '--kernel', kernel, '--memory', '48M', '--timeout', '20'] }
  await writeSnapshotFile(file, { ...run, ...(verified ? { host: 'x' } : { host: hostDigest() }) }, await pc.save())
  pc.close()
  const damaged = fs.readFileSync(file)
  damaged[damaged.length - 300]! ^= 1
  fs.writeFileSync(file, damaged)
  const machines: unknown[] = []
  const onMachine = (machine: unknown): void => void machines.push(machine)
  const { code, stderr } = await runHere(['restore', file], { onMachine, deadlineMs: DEADLINE_MS })
  expect(stderr).toMatch(/retrap: .*pages\.snapshot: the snapshot is damaged in section PAGE, at byte \d+\n$/)
  expect([code, machines.length]).toEqual([74, verified ? 0 : 1])
})

describe('a disk of a machine that was saved', () => {
  test('is refused when it has been written since, and not before; the file below it is another', async () => {
    const [kernel, base, disk, file] = [path('writing'), path('base.img'), path('disk.qcow2'), path('disk.snapshot')]
    fs.writeFileSync(kernel, writingKernel())
    fs.writeFileSync(base, new Uint8Array(1 << 20))
    await createImage(disk, 'qcow2', { bytes: 1 << 20 }, { name: base, format: 'raw' })
    const leave = { answers: [{ to: '...', type: '\u0001x' }], deadlineMs: DEADLINE_MS }
    const machine = ['run', '--kernel', kernel, '--memory', '16M', '--hda', disk, '--timeout', '50']
    expect(await runHere([...machine, '--save-on-exit', file], leave)).toMatchObject({ code: 0 })
    expect((await readSavedRun(file)).disks?.map((one) => one.path)).toEqual([disk, base])
    // It writes on.
    expect(await runHere(['restore', file], leave)).toMatchObject({ code: 0, stdout: expect.stringContaining('...') })
    const refused = await runHere(['restore', file], leave)
    expect(refused).toMatchObject({ code: 74, stdout: '' })
    expect(refused.stderr).toMatch(/disk\.qcow2: it has changed since the machine was saved: .*; give .* or --force\n$/)
    expect(await runHere(['restore', file, '--force'], leave)).toMatchObject({ code: 0 })
  })

  test.each<[string, Partial<SavedDisk>, string | null]>([
    ['is as it was', {}, null],
    ['has another size', { bytes: 8191 }, 'it has 8192 bytes, and had 8191'],
    [
      'has another time',
      { modified: '1699999999123456789' },
      'it was written at 2023-11-14T22:13:20.000Z, and then at',
    ],
    ['has its time in whole seconds', { modified: '1700000000123456789' }, null],
    ['has another time in whole seconds', { modified: '1700000001000000000' }, 'it was written at'],
    ['begins with other bytes', { head: 1 }, 'its first 4 KiB are others'],
    ['is not there: opening it says so', { path: '/nowhere/disk.img' }, null],
  ])('%s', (_, change, message) => {
    const disk = path('plain.img')
    fs.writeFileSync(disk, new Uint8Array(8192))
    fs.utimesSync(disk, 1_700_000_000, 1_700_000_000)
    const [now] = lookAtDisks([disk, path('gone.img')]) as [SavedDisk]
    const check = (): void => refuseChangedDisks([{ ...now, ...change }])
    if (message === null) expect(check).not.toThrow()
    else expect(check).toThrow(message)
  })

  test.each([
    { machine: 'runs on: as it was when that went on', hasStopped: false, bytes: 2 },
    { machine: 'has stopped: with all that is held back', hasStopped: true, bytes: 3 },
  ])('is looked at where the machine $machine', async ({ hasStopped, bytes }) => {
    const disk = path('held.img')
    const images = {
      paths: [disk],
      flush: async () => {},
      settle: async () => fs.appendFileSync(disk, held.splice(0).join('')),
    }
    const held: string[] = []
    const machine = {
      save: async ({ onResumed }: { onResumed?: (ms: number) => void } = {}) => {
        fs.appendFileSync(disk, 'x')
        onResumed?.(1)
        held.push('x')
        return SNAPSHOT
      },
    }
    fs.writeFileSync(disk, 'x')
    const snapshots = new SessionSnapshots(
      { arguments: [] },
      [],
      () => {},
      () => images,
    )
    await snapshots.save(machine, path('g'), hasStopped)
    expect((await readSavedRun(path('g'))).disks).toMatchObject([{ path: disk, bytes }])
  })

  test('that is told of in another way is no disk of ours', async () => {
    for (const disks of ['x', [null], [{ path: 'a', bytes: 1, head: 1, modified: 'now' }]]) {
      await writeSnapshotFile(path('f'), { ...RUN, disks } as never, SNAPSHOT)
      await expect(readSavedRun(path('f'))).rejects.toThrow('what it says of its disks')
    }
  })
})
