import { createHash } from 'node:crypto'
import { Instant, type DeviceModel } from '@retrap/device'
import { startDeviceProcess, startDeviceWorker } from '@retrap/device-hosting/node'
import { al, dword, eax, ebx, ecx, edx, imm8, type Assembler } from '@retrap/x86-assembler'
import * as hvm from '../../src/index.ts'
import { DirtyFrames } from '../../src/checkpoints/dirty-frames.ts'
import { CODE, EXIT_PORT, Guest, PROTECTED, STACK } from './guest.ts'
import { runWithMoves } from './moves.ts'
import { JITTER_BUFFERED, JITTER_PORT, JITTER_VECTOR, jitterDevice } from './jitter-device.ts'

/** Where the model of the run lives. */
export type Placement = 'here' | 'worker' | 'process'

const APIC = 0xfee0_0000
const TIMER_VECTOR = 0x41
const HANDLER = 0x4000
/** Counts, sums and times of all vCPUs; the last is how many are still at work. */
const SHARED = 0x5000
const AT_WORK = SHARED + 0x20
const ROUNDS = 12

/** Computes, asks the device in each of its ways, notes the time, and is interrupted by device and timer meanwhile. */
function program(asm: Assembler, id: number): void {
  asm
    .mov(dword(APIC + 0xf0), 0x1ff)
    .mov(dword(APIC + 0x3e0), 0xb)
    .mov(dword(APIC + 0x320), 0x2_0000 | TIMER_VECTOR)
    .mov(dword(APIC + 0x380), 17_000 + 3_000 * id)
    .sti()
  asm.mov(ebx, ROUNDS)
  const round = asm.here()
  asm.in(al, imm8(JITTER_PORT)).lock().add(dword(SHARED), eax)
  asm
    .rdtsc()
    .lock()
    .xadd(dword(SHARED + 4), eax)
  asm.out(imm8(JITTER_PORT), al)
  asm.mov(eax, ebx).out(imm8(JITTER_BUFFERED), al)
  asm.mov(ecx, 900 + 100 * id)
  const compute = asm.here()
  asm
    .add(edx, ecx)
    .lock()
    .add(dword(SHARED + 8), edx)
    .dec(ecx)
    .jnz(compute)
  asm.dec(ebx).jnz(round)
  asm.lock().dec(dword(AT_WORK))
  if (id === 0) {
    const wait = asm.here()
    asm.pause().cmp(dword(AT_WORK), imm8(0)).jnz(wait)
    asm.cli().mov(al, 0).out(EXIT_PORT, al)
  }
  const halt = asm.here()
  asm.hlt().jmp(halt)
}

/** A guest that runs, and where its model lives. */
interface Run {
  readonly guest: Guest
  readonly domain: Guest['domain']
  readonly model: DeviceModel
  readonly server: hvm.DomainServer | undefined
  /** What has been written, and since when. */
  readonly noted: { log?: DirtyFrames | null; since?: hvm.DirtySince | undefined }
}

async function build(vcpus: number, placement: Placement, start: bigint): Promise<Run> {
  const model = jitterDevice()
  const guest = new Guest((asm) => program(asm, 0), {
    vcpus,
    clock: new hvm.DeterministicClock(1, Instant.from(start)),
    shared: placement === 'worker',
    devices: placement === 'here' ? [model] : [],
  })
  const { domain } = guest
  if (placement === 'here') return { guest, domain, model, server: undefined, noted: {} }
  const modules = [new URL('jitter-device.ts', import.meta.url).href]
  const options = { name: 'far', modules, realTime: false }
  const server =
    placement === 'worker'
      ? startDeviceWorker(domain.dispatch, domain.platform, options)
      : await startDeviceProcess(domain.dispatch, domain.platform, options)
  domain.addServer(server)
  await server.remote.ready
  return { guest, domain, model, server, noted: {} }
}

/** Has the guest begin with its program. */
function load({ guest }: Run, vcpus: number): void {
  guest.program(HANDLER, 32, (asm) => {
    asm
      .push(eax)
      .push(edx)
      .rdtsc()
      .lock()
      .add(dword(SHARED + 12), eax)
    asm
      .lock()
      .inc(dword(SHARED + 16))
      .mov(eax, dword(0x6000))
      .lock()
      .add(dword(SHARED + 20), eax)
    asm
      .mov(dword(APIC + 0xb0), 0)
      .pop(edx)
      .pop(eax)
      .iretd()
  })
  for (const vector of [JITTER_VECTOR, TIMER_VECTOR]) guest.vector(vector, HANDLER)
  guest.write64(AT_WORK, BigInt(vcpus))
  for (let id = 1; id < vcpus; id++) {
    const at = CODE + 0x1000 * id
    guest.program(at, 32, (asm) => program(asm, id))
    guest.start(id, { ...PROTECTED, registers: { ...PROTECTED.registers, rip: at, rsp: STACK - 0x1000 * id } })
  }
}

/**
 * Runs a short guest with a model whose answers, DMA and interrupts come when the host likes, on deterministic time.
 *
 * @param start - the time of power-on, nanoseconds
 * @param moves - how often it is saved at random instants, and goes on in another domain or in its own
 * @returns a digest of all that can be seen at its end
 */
export async function deterministicRun(vcpus: number, placement: Placement, start = 0n, moves = 0): Promise<string> {
  const first = await build(vcpus, placement, start)
  load(first, vcpus)
  const { run, retired } = await runWithMoves(first, moves, {
    end: 'debug-exit',
    async save({ domain, noted }) {
      const rest = await domain.rest(1000)
      const state = await hvm.saveDomainState(domain, rest)
      const copies = await hvm.beginCopying(domain)
      noted.log ??= DirtyFrames.begin(domain)
      noted.since = noted.log?.note()
      rest.end()
      return { state, pages: await copies.collect(() => Promise.resolve()) }
    },
    async restore(snapshot) {
      const next = await build(vcpus, placement, 0n)
      await hvm.restoreDomain(next.domain, snapshot)
      return next
    },
    async putBack({ domain, noted: { log, since } }, snapshot) {
      const late = await hvm.beginRestoringDomain(domain, snapshot, undefined, {
        deadlineMs: 1000,
        log: log ?? undefined,
        written: () => since?.now(),
        accepted: () => undefined,
        returned: () => void log?.returnedTo(since),
      })
      void late.finish(() => new Promise((resolve) => setImmediate(resolve)))
    },
    close: ({ server }) => server?.close(),
  })
  try {
    const { guest, model, server, domain } = run
    const hash = createHash('sha256')
    const add = (value: unknown): void =>
      void hash.update(JSON.stringify(value, (_key, each: unknown) => (typeof each === 'bigint' ? String(each) : each)))
    const ram = new Uint8Array(1 << 20)
    domain.guestMemory.read(0, ram)
    hash.update(ram)
    for (const { id } of domain.vcpus) add([guest.state(id), retired[id]])
    const [now, next] = [new Instant(), new Instant()]
    domain.clock.read(now)
    domain.timers.readNextDeadline(next)
    add([now, next, domain.interrupts.save()])
    add(server === undefined ? await model.save?.() : await server.remote.save())
    return hash.digest('hex')
  } finally {
    run.server?.close()
  }
}
