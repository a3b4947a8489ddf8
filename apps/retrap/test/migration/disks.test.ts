/** A machine moves while its guest writes a disk that both sides have, on one host. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { duplexPair, type Duplex } from 'node:stream'
import { openImage } from '@retrap/block/node'
import { createPc, type Pc, type PcSnapshot } from '@retrap/machine'
import { type Channel, migrate, type MigrationReport, receiveMigration, StoppableRun } from '@retrap/migration'
import { al, Assembler, ax, bx, cl, dword, dx, eax, ebx, ecx, imm16, imm32 } from '@retrap/x86-assembler'
import { afterAll, expect, test } from 'vitest'
import { listDrives } from '../../src/drives.ts'
import { createImage } from '../../src/image/create.ts'
import { OpenDrives } from '../../src/open-drives.ts'
import { SessionSnapshots } from '../../src/snapshots/session-snapshots.ts'

const folder = mkdtempSync(join(tmpdir(), 'retrap-moving-disks-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const BASE = 0x10_0000
/** How many sectors the guest has written, and a word that tells it to end. */
const COUNT = 0x20_0000
const END = COUNT + 4
const SECTORS = 8

/** A guest that writes sector 0, 1 … 7, 0 … of its IDE disk, each full of the number of the write, until it is told to end. */
function writingKernel(): Uint8Array {
  const asm = new Assembler({ bits: 32, address: BASE })
  const entry = asm.label('entry')
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), BASE, BASE, 0, 0, entry).bind(entry)
  const out = (port: number, value: number): Assembler => asm.mov(dx, imm16(port)).mov(al, value).out(dx, al)
  const wait = (bit: number, isSet: boolean): void => {
    const again = asm.mov(dx, imm16(0x1f7)).here()
    asm.in(al, dx).test(al, bit)
    if (isSet) asm.jz(again)
    else asm.jnz(again)
  }
  const next = asm.here()
  asm.mov(ebx, dword(COUNT)).inc(ebx)
  out(0x1f6, 0xe0)
  out(0x1f2, 1)
  asm
    .mov(eax, ebx)
    .and(al, SECTORS - 1)
    .mov(dx, imm16(0x1f3))
    .out(dx, al)
  out(0x1f4, 0)
  out(0x1f5, 0)
  out(0x1f7, 0x30)
  wait(0x08, true)
  const word = asm.mov(ecx, imm32(256)).mov(dx, imm16(0x1f0)).mov(ax, bx).here()
  asm.out(dx, ax).dec(ecx).jnz(word)
  wait(0x80, false)
  asm.mov(dword(COUNT), ebx).cmp(dword(END), imm32(0)).je(next)
  asm.mov(cl, 0).mov(dx, imm16(0x604)).mov(eax, imm32(0x2000)).out(dx, eax).hlt()
  return asm.assemble().bytes
}

/** A machine with the disks, and a run that a migration stops. */
interface Side {
  readonly pc: Pc
  readonly drives: OpenDrives
}

async function side(path: string, snapshot?: PcSnapshot): Promise<Side> {
  const drives = await OpenDrives.open(listDrives({ hda: path }, []), snapshot === undefined ? 'now' : 'later')
  const options = { memoryBytes: 4 << 20, codeCacheBytes: 1 << 20, kernel: writingKernel() }
  const more = { drives: drives.drives, ...(snapshot !== undefined && { snapshot }) }
  return { pc: await createPc({ ...options, ...more, clock: 'deterministic' }), drives }
}

const channel = (stream: Duplex): Channel => {
  const pieces = stream.on('error', () => {})[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  return {
    send: (bytes) =>
      new Promise((resolve, reject) => void stream.write(bytes, (error) => (error ? reject(error) : resolve()))),
    receive: async () => (await pieces.next()).value ?? null,
    close: () => void stream.end(),
  }
}

const wordAt = ({ pc }: Side, at: number): number => {
  const bytes = new Uint8Array(4)
  pc.domain.guestMemory.read(at, bytes)
  return new DataView(bytes.buffer).getUint32(0, true)
}

const soon = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 1))

/** Waits until a guest has written so many sectors. */
async function written(at: Side, count: number): Promise<void> {
  // oxlint-disable-next-line no-await-in-loop -- the guest has its turns
  while (wordAt(at, COUNT) < count) await soon()
}

/** What became of a machine. */
interface Moved {
  readonly report: MigrationReport | undefined
  readonly error: unknown
  readonly source: Side
  readonly run: StoppableRun
  /** The run at the source. */
  readonly running: Promise<unknown>
  readonly destination: Side
  /** The destination does not have the machine. */
  readonly refused: unknown
}

/** @param onClaim - called when the source has given its disks up */
async function move(path: string, onClaim: () => Promise<void> = async () => {}): Promise<Moved> {
  const source = await side(path)
  const run = new StoppableRun()
  const running = run.run(source.pc, {}, { reason: 'stopped' })
  await written(source, 8)
  const [near, far] = duplexPair()
  const arriving = receiveMigration(channel(far)).then(async (arrived) => {
    const destination = await side(path, arrived.snapshot as PcSnapshot)
    const claim = (): Promise<void> => onClaim().then(() => destination.drives.claim())
    const refused = await arrived.takeOver(claim).catch((error: unknown) => error)
    return { destination, refused }
  })
  const { pc, drives } = source
  const moving = migrate(channel(near), {
    domain: pc.domain,
    stop: () => run.stop(),
    resume: () => run.resume(),
    save: async () => {
      const saved = await pc.save()
      await drives.flush()
      return saved
    },
    release: () => drives.release(),
    reclaim: () => drives.claim(),
  })
  const ended = await moving.then(
    (report) => ({ report, error: undefined }),
    (error: unknown) => ({ report: undefined, error }),
  )
  return { ...ended, source, run, running, ...(await arriving) }
}

/** Has the guest end, and compares the disk with what it has written. */
async function expectWhole(path: string, at: Side, running: Promise<unknown>): Promise<void> {
  await written(at, wordAt(at, COUNT) + 8)
  at.pc.domain.guestMemory.write(END, Uint8Array.of(1))
  await running
  const count = wordAt(at, COUNT)
  at.pc.close()
  expect(await at.drives.close()).toEqual([])
  const format = path.endsWith('.qcow2') ? 'qcow2' : 'raw'
  const image = await openImage(path, { format, readOnly: true })
  const content = new Uint16Array(SECTORS * 256)
  await image.read(0, new Uint8Array(content.buffer))
  await image.close()
  const expected = Array.from({ length: SECTORS }, (_, i) => count - ((count - i) & (SECTORS - 1)))
  expect(Array.from(content)).toEqual(expected.flatMap((number) => Array.from({ length: 256 }, () => number & 0xffff)))
}

let disks = 0
/** A disk that is raw, or a qcow2 image above a raw one. */
async function disk(format: 'raw' | 'qcow2'): Promise<string> {
  const base = join(folder, `${disks++}.img`)
  writeFileSync(base, new Uint8Array(1 << 20).fill(0xa5))
  if (format === 'raw') return base
  await createImage(`${base}.qcow2`, 'qcow2', { bytes: 1 << 20 }, { name: base, format: 'raw' })
  return `${base}.qcow2`
}

const locked = expect.objectContaining({ code: 'ERR_LOCKED' })

test.each(['raw', 'qcow2'] as const)('a %s disk goes with it: the source writes nothing more', async (format) => {
  const path = await disk(format)
  const { report, error, source, destination } = await move(path)
  expect([error, report?.outcome]).toEqual([undefined, 'moved'])
  await expect(source.drives.claim()).rejects.toThrow(locked)
  const running = destination.pc.run()
  await written(destination, wordAt(destination, COUNT) + 1)
  source.pc.close()
  expect(await source.drives.close()).toEqual([])
  await expectWhole(path, destination, running)
})

test('a destination that cannot take the disk says so, and the source writes on', async () => {
  const path = await disk('qcow2')
  const { error, source, run, running, destination, refused } = await move(path, async () => {
    throw new Error('the host is full')
  })
  expect(refused).toMatchObject({ message: 'the host is full' })
  expect(error).toMatchObject({ code: 'ERR_REFUSED', message: 'the other side says: the host is full' })
  expect(run.isStopped).toBe(false)
  destination.pc.close()
  expect(await destination.drives.close()).toEqual([])
  await expectWhole(path, source, running)
})

test('where a third machine has the disk, neither side runs until it is free again', async () => {
  const path = await disk('raw')
  let third: Awaited<ReturnType<typeof openImage>> | undefined
  const { report, source, run, running, destination } = await move(path, async () => {
    third = await openImage(path)
  })
  expect(report).toMatchObject({ outcome: 'unknown', error: locked })
  expect(run.isStopped).toBe(true)
  destination.pc.close()
  await destination.drives.close()
  await expect(source.drives.claim()).rejects.toThrow(locked)
  await third!.close()
  await source.drives.claim()
  run.resume()
  await expectWhole(path, source, running)
})

test('a disk whose writes are kept in memory does not move, and nothing is sent', async () => {
  const snapshots = new SessionSnapshots({ arguments: [] }, listDrives({ hda: 'a.img', snapshot: true }, []), () => {})
  expect(() => snapshots.check({ save: async () => ({}) as never })).toThrow(
    'a.img keeps what the guest writes in memory',
  )
})
