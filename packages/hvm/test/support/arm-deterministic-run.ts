import { createHash } from 'node:crypto'
import { Instant, type DeviceContext, type DeviceModel } from '@retrap/device'
import { beginRestoringDomain, restoreDomain, saveDomain, type ArmDomain, type GicPlace } from '../../src/arm/index.ts'
import { DEVICE, domainWith, ITS, put, RAM } from './arm-guest.ts'
import * as armJitterProgram from './arm-jitter-program.ts'
import { jitterDevice } from './jitter-device.ts'
import { type Moves, runWithMoves } from './moves.ts'

/** Which interrupt controller the guest has. */
export type Gic = 2 | 3

const DISTRIBUTOR = 0x0800_0000
const REDISTRIBUTORS = 0x080a_0000
const REDISTRIBUTOR_BYTES = 0x2_0000
const MESSAGES = { base: 0x0802_0000, first: 80, count: 1 }

const PLACES: Readonly<Record<Gic, GicPlace>> = {
  2: { version: 2, distributor: DISTRIBUTOR, cpuInterface: 0x0801_0000, messages: MESSAGES },
  3: { distributor: DISTRIBUTOR, its: ITS, redistributors: REDISTRIBUTORS },
}

/** Where the tables of the translation service lie, as offsets in RAM: each has a page. */
const [DEVICES, COLLECTIONS, TRANSLATION, QUEUE, CONFIGURATION, PENDING] = [0, 1, 2, 3, 4, 16].map(
  (page) => 0x10_0000 + 0x1000 * page,
) as [number, number, number, number, number, number]
const PENDING_BYTES = 0x1_0000
const LPI = 8192
const VALID = 1n << 63n

const little = (...words: readonly bigint[]): Uint8Array => new Uint8Array(BigUint64Array.from(words).buffer)

/** Writes a register of the interrupt controller, as firmware would. */
function write(domain: ArmDomain, address: number, value: number | bigint, size = 4): void {
  const bits = BigInt(value)
  domain.dispatch.mmioWrite(address, size, Number(bits & 0xffff_ffffn), Number(bits >> 32n))
}

/** Has the device's messages be an LPI, and gives the translation service more commands than it performs at once. */
function prepareIts(domain: ArmDomain, vcpus: number): void {
  const at = (offset: number): bigint => BigInt(RAM + offset)
  domain.guestMemory.write(RAM + CONFIGURATION, Uint8Array.of(0xa1))
  for (let id = 0; id < vcpus; id++) {
    const frame = REDISTRIBUTORS + REDISTRIBUTOR_BYTES * id
    write(domain, frame + 0x70, at(CONFIGURATION) | 13n, 8)
    write(domain, frame + 0x78, at(PENDING + PENDING_BYTES * id), 8)
    write(domain, frame, 1)
  }
  write(domain, ITS + 0x100, VALID | at(DEVICES), 8)
  write(domain, ITS + 0x108, VALID | at(COLLECTIONS), 8)
  write(domain, ITS + 0x80, VALID | at(QUEUE), 8)
  write(domain, ITS, 1)
  const target = BigInt(vcpus - 1)
  const commands = [
    [0x08n, 1n, VALID | at(TRANSLATION), 0n],
    [0x09n, 0n, VALID | (target << 16n), 0n],
    [0x0an, BigInt(LPI) << 32n, 0n, 0n],
    // INV and INT.
    ...Array.from({ length: 120 }, (_, i) => [i % 30 === 29 ? 0x03n : 0x0cn, 0n, 0n, 0n]),
  ]
  commands.forEach((command, i) => domain.guestMemory.write(RAM + QUEUE + 32 * i, little(...command)))
  write(domain, ITS + 0x88, 32 * commands.length)
}

function prepareGic(domain: ArmDomain, gic: Gic, vcpus: number): void {
  const { architecture } = domain
  if (gic === 3) {
    // Affinity routing, and group 1.
    write(domain, DISTRIBUTOR, 0x12)
    for (let id = 0; id < vcpus; id++) {
      const frame = REDISTRIBUTORS + REDISTRIBUTOR_BYTES * id + 0x1_0000
      write(domain, frame + 0x80, 0xffff_ffff)
      write(domain, frame + 0x100, (1 << 27) | 2)
    }
    prepareIts(domain, vcpus)
    return
  }
  const [distributor] = architecture.gic.banked
  distributor!.write(0, 0, 4, 1)
  for (let id = 0; id < vcpus; id++) distributor!.write(id, 0x100, 4, 1 << 27)
  // The message's interrupt: an edge, for the last vCPU.
  distributor!.write(0, 0x108, 4, 1 << (MESSAGES.first & 31))
  distributor!.write(0, 0x800 + MESSAGES.first, 1, 1 << (vcpus - 1))
  distributor!.write(0, 0xc00 + 4 * (MESSAGES.first >> 4), 4, 2)
}

interface Run {
  readonly domain: ArmDomain
  readonly model: DeviceModel
}

function build(vcpus: number, gic: Gic): Run {
  const signals: Record<Gic, (context: DeviceContext) => void> = {
    2: (context) => context.signalMsi(MESSAGES.base + 0x40, MESSAGES.first),
    3: (context) => context.signalMsi(ITS + 0x1_0040, 0),
  }
  const model = jitterDevice({ mmio: DEVICE, memory: RAM + armJitterProgram.JITTER_RAM, interrupt: signals[gic] })
  const domain = domainWith(armJitterProgram.PROGRAM, vcpus, undefined, PLACES[gic])
  domain.attach(model)
  domain.vcpus[0]!.start(BigInt(RAM), BigInt(armJitterProgram.ROUNDS))
  return { domain, model }
}

/** Has the guest begin with its program. */
function load({ domain }: Run, vcpus: number, gic: Gic): void {
  put(domain, armJitterProgram.A32, armJitterProgram.A32_PROGRAM)
  for (const [offset, word] of armJitterProgram.VECTOR_WORDS) put(domain, offset, [word])
  put(domain, armJitterProgram.AT_WORK, [vcpus])
  put(domain, armJitterProgram.VCPUS, [vcpus])
  put(domain, armJitterProgram.IS_V3, [gic - 2])
  prepareGic(domain, gic, vcpus)
}

/**
 * Runs a short Arm guest with a model whose answers, DMA and interrupts come when the host likes, on deterministic time.
 *
 * @param moves - how often it is saved at random instants, and goes on in another domain or in its own
 * @returns a digest of all that can be seen at its end
 */
export async function armDeterministicRun(vcpus: number, gic: Gic, moves = 0): Promise<string> {
  const first = build(vcpus, gic)
  load(first, vcpus, gic)
  const story: Moves<Run, Awaited<ReturnType<typeof saveDomain>>> = {
    end: 'power-off',
    save: ({ domain }) => saveDomain(domain, 1000),
    async restore(snapshot) {
      const run = build(vcpus, gic)
      await restoreDomain(run.domain, snapshot)
      return run
    },
    async putBack({ domain }, snapshot) {
      const late = await beginRestoringDomain(domain, snapshot, undefined, {
        deadlineMs: 1000,
        written: () => undefined,
        accepted: () => undefined,
        returned: () => undefined,
      })
      // Some of it is brought when the guest needs it.
      void late.finish(() => new Promise((resolve) => setImmediate(resolve)))
    },
    close: () => undefined,
  }
  const { run, retired } = await runWithMoves(first, moves, story)
  const { domain, model } = run
  const hash = createHash('sha256')
  const ram = new Uint8Array(2 << 20)
  domain.guestMemory.read(RAM, ram)
  hash.update(ram)
  const [now, next] = [new Instant(), new Instant()]
  domain.clock.read(now)
  domain.timers.readNextDeadline(next)
  const { gic: controller, timers } = domain.architecture
  const vcpuStates = domain.vcpus.map((vcpu) => vcpu.save())
  hash.update(JSON.stringify([vcpuStates, retired, now, next, controller.save(), timers.save(), await model.save?.()]))
  return hash.digest('hex')
}
