/** Runs of an Arm board that are recorded and run again: bytes that are typed, and a model that takes its answers from the host. */
import { setImmediate as turn } from 'node:timers/promises'
import { SharedTransport } from '@retrap/device-hosting'
import { expect, test } from 'vitest'
import * as arm from '../../src/arm/index.ts'
import { armImage as image, movk, movz } from '@retrap/tooling/arm-image'
import { kept } from '../support/kept.ts'
import { asynchronous, WRITES } from '../support/random-devices.ts'

const STATE = 0x4100_0000
const RESULT = STATE + 0x100
const DEVICE = 0x0b00_0000
const model = () => asynchronous({ device: DEVICE, count: STATE, irq: arm.gsiOfSpi(20) })

/**
 * Mixes what the device answers and writes, what is typed, and the time, until the device has written often enough and a byte
 * has come; then prints and powers off.
 */
const kernel = image(
  ...[movz(0, DEVICE >>> 16, 16), movz(1, STATE >>> 16, 16), movz(7, 0x0900, 16), movz(5, 0)],
  // The UART sends and receives eight bits: UARTLCR_H, UARTCR.
  ...[movz(6, 0x60), 0xb900_2ce6, movz(6, 0x301), 0xb900_30e6],
  // The loop. ldr w2, [x0]; ror x5, x5, #5; eor x5, x5, x2; mrs x3, cntvct_el0; eor x5, x5, x3
  ...[0xb940_0002, 0x93c5_14a5, 0xca02_00a5, 0xd53b_e043, 0xca03_00a5],
  // ldr w4, [x1, #4]; eor x5, x5, x4; str w4, [x0, #4]; ldr w6, [x7, #0x18]; eor x5, x5, x6
  ...[0xb940_0424, 0xca04_00a5, 0xb900_0404, 0xb940_18e6, 0xca06_00a5],
  // tbnz w6, #4, +8: nothing was received, and x8 stays; movz x8, 1
  ...[0x3720_0046, movz(8, 1)],
  // ldr w4, [x1]; cmp w4, WRITES; b.lt loop; cbz x8, loop
  ...[0xb940_0024, (0x7100_009f | (WRITES << 10)) >>> 0, 0x54ff_fe4b, 0xb4ff_fe28],
  // str x5, [x1, #0x100]; str w6, [x7]: '!'
  ...[0xf900_8025, movz(6, 0x21), 0xb900_00e6],
  ...[movz(0, 0x8400, 16), movk(0, 8), 0xd400_0002],
)

const options = (more: Partial<arm.ArmMachineOptions> = {}): arm.ArmMachineOptions => ({
  memoryBytes: 32 << 20,
  codeCacheBytes: 4 << 20,
  clock: 'deterministic',
  kernel,
  ...more,
})

interface Run {
  readonly hash: string
  readonly text: string
  readonly instructions: number
}

/** Runs a machine until it powers off. */
async function toEnd(machine: arm.ArmMachine, run: () => Promise<{ readonly reason: string }>): Promise<Run> {
  let text = ''
  machine.serial.onTransmit((bytes) => (text += String.fromCharCode(...bytes)))
  expect(await run()).toEqual({ reason: 'power-off' })
  const bytes = new Uint8Array(8)
  machine.domain.guestMemory.read(RESULT, bytes)
  return { hash: Buffer.from(bytes).toString('hex'), text, instructions: machine.domain.instructions }
}

/** As a Worker is, but for the thread: one takes long to start. */
const boardElsewhere: arm.StartArmBoardServer = (dispatch, platform, { name, realTime, board, onMessage }) => {
  const transport = new SharedTransport(dispatch, platform, { name, realTime, onMessage })
  void arm.serveArmBoard(transport.memory, board, { blockMs: 0 })
  return transport
}

test.each<{
  cpus: number
  board: string
  recorded: Partial<arm.ArmMachineOptions>
  again?: Partial<arm.ArmMachineOptions>
}>([
  { cpus: 1, board: 'in process', recorded: {} },
  { cpus: 2, board: 'in process', recorded: {} },
  { cpus: 1, board: 'deferred', recorded: { devicePlacement: 'deferred' }, again: { devicePlacement: 'deferred' } },
  {
    cpus: 1,
    board: 'elsewhere',
    recorded: { devicePlacement: boardElsewhere, virtio: [{ kind: 'keyboard' }] },
    again: {
      devicePlacement: () => {
        throw new Error('a replay starts no models')
      },
      virtio: [{ kind: 'keyboard' }],
    },
  },
])('$cpus vCPUs, board $board: what comes from outside, and what a model does, is recorded', async (given) => {
  const { cpus, recorded, again = recorded } = given
  const pieces: Uint8Array[] = []
  const recorder = await arm.recordArmMachine(
    options({ ...recorded, cpus, devices: [model()] }),
    (piece) => void pieces.push(piece.slice()),
  )
  const { machine } = recorder
  kept(machine)
  const running = toEnd(machine, () => machine.run({ timeoutMs: 100_000 }))
  for (let i = 0; i < 20; i++) await turn()
  machine.serial.receive(Uint8Array.of(0x61))
  recorder.mark('typed')
  const run = await running
  await recorder.end()
  expect(run).toMatchObject({ text: '!', hash: expect.not.stringMatching(/^0+$/) })
  const file = new Uint8Array(Buffer.concat(pieces))
  const source = { bytes: file.length, read: (at: number, bytes: number) => file.subarray(at, at + bytes) }
  const replay = kept(await arm.replayArmMachine(options({ ...again, cpus }), source))
  expect([replay.end, replay.marks[0]?.name]).toEqual([run.instructions, 'typed'])
  expect(await toEnd(replay.machine, () => replay.run({ timeoutMs: 100_000 }))).toEqual(run)
  const debug = await replay.debugger()
  const watch = debug.watch(BigInt(RESULT), 8, 'write')
  expect(await debug.reverseContinue()).toMatchObject({ reason: 'watch', watch: 'write', address: BigInt(RESULT) })
  const [at, there] = [(await replay.machine.debugger()).register('pc'), replay.instructions]
  watch.remove()
  await debug.step()
  expect(await debug.whoWrote(BigInt(RESULT))).toMatchObject({ by: 'instruction', address: at, instructions: there })
  expect([await debug.stepBack(), replay.instructions]).toEqual([{ reason: 'step' }, there])
  debug.stopAt({ kind: 'mmio', address: DEVICE, count: 0x1000 })
  expect(await debug.reverseContinue()).toMatchObject({ reason: 'mmio', address: DEVICE + 4, write: true })
  expect([await replay.goto(10), replay.instructions]).toEqual([{ reason: 'arrived' }, 10])
  expect(await toEnd(replay.machine, () => replay.run({ timeoutMs: 100_000 }))).toEqual({ ...run, text: '' })
})

test('a run is recorded from a snapshot on', async () => {
  const pieces: Uint8Array[] = []
  // It goes on with its count, as the guest does.
  const devices = [{ ...model(), stateless: true }]
  const first = await arm.createArmMachine(options({ devices }))
  await first.run({ timeoutMs: 1 })
  const snapshot = await first.save()
  first.close()
  const write = (piece: Uint8Array): void => void pieces.push(piece.slice())
  const recorder = await arm.recordArmMachine(options({ snapshot, devices }), write, { checkpointMs: 0 })
  const machine = kept(recorder.machine)
  machine.serial.receive(Uint8Array.of(0x61))
  const run = await toEnd(machine, () => machine.run({ timeoutMs: 100_000 }))
  await recorder.end()
  const file = new Uint8Array(Buffer.concat(pieces))
  const source = { bytes: file.length, read: (at: number, bytes: number) => file.subarray(at, at + bytes) }
  const replay = kept(await arm.replayArmMachine(options(), source, { at: 'end' }))
  expect([await replay.goto(replay.begin), replay.instructions]).toEqual([{ reason: 'arrived' }, replay.begin])
  expect(await toEnd(replay.machine, () => replay.run({ timeoutMs: 100_000 }))).toMatchObject({ hash: run.hash })
})
