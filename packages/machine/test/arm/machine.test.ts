import { defineDevice } from '@retrap/device'
import { startDeviceWorker } from '@retrap/device-hosting/node'
import { describe, expect, test } from 'vitest'
import { createArmMachine, type ArmMachineOptions, type StartArmBoardServer, VIRT } from '../../src/arm/index.ts'
import { armImage as image, movk, movz } from '@retrap/tooling/arm-image'

/** Calls PSCI: 8 powers off, 9 resets. */
const psci = (number: number): number[] => [movz(0, 0x8400, 16), movk(0, number), 0xd400_0002]
/** Has X1 be the address of the UART, and the UART send eight bits: UARTLCR_H. */
const UART = [movz(1, 0x0900, 16), movz(2, 0x60), 0xb900_2c22]
/** Sends a character by the UART whose address is in X1. */
const send = (text: string): number[] =>
  [...text].flatMap((character) => [movz(2, character.charCodeAt(0)), 0x3900_0022]) // strb w2, [x1]

async function run(options: Partial<ArmMachineOptions>, ...program: number[]): Promise<[string, string]> {
  const machine = await createArmMachine({
    memoryBytes: 4 << 20,
    codeCacheBytes: 1 << 20,
    clock: 'deterministic',
    kernel: image(...program),
    ...options,
  })
  let text = ''
  machine.serial.onTransmit((bytes) => (text += String.fromCharCode(...bytes)))
  const { reason } = await machine.run({ timeoutMs: 100_000 })
  machine.close()
  return [text, reason]
}

const inWorker: StartArmBoardServer = (dispatch, platform, { name, realTime, board, onMessage }) =>
  startDeviceWorker(dispatch, platform, {
    name,
    realTime,
    onMessage,
    modules: [],
    program: new URL('../support/arm-board-worker.ts', import.meta.url),
    data: board,
  })

/** Turns the UART on, whose address is in X1, waits for a byte and sends it back: UARTCR, UARTFR.RXFE, UARTDR. */
const ENABLE = [movz(2, 0x301), 0xb900_3022] // str w2, [x1, #48]
const ECHO = [0xb940_1823, 0x3727_ffe3, 0xb940_0023, 0x3900_0023] // ldr w3, [x1, #24]; tbnz w3, #4, .-4; ldr w3, [x1]; strb w3, [x1]

describe.each([['inline'], ['deferred']] as const)('models %s', (devicePlacement) => {
  test('a kernel writes to the console and powers off', async () => {
    const program = [...UART, ...send('hello'), ...psci(8)]
    expect(await run({ devicePlacement }, ...program)).toEqual(['hello', 'power-off'])
  })
})

test('a machine whose board is in a Worker is saved while it waits for a key, and put back to that', async () => {
  const kernel = image(...UART, ...ENABLE, ...send('a'), ...ECHO, ...psci(8))
  const options = { memoryBytes: 4 << 20, codeCacheBytes: 1 << 20, devicePlacement: inWorker } as const
  const machine = await createArmMachine({ ...options, kernel })
  let text = ''
  const begun = new Promise<void>((resolve) =>
    machine.serial.onTransmit((bytes) => {
      text += String.fromCharCode(...bytes)
      resolve()
    }),
  )
  const over = machine.run({ timeoutMs: 100_000 })
  await begun
  const snapshot = await machine.save()
  machine.serial.receive(Uint8Array.of(0x6b))
  expect([(await over).reason, text]).toEqual(['power-off', 'ak'])
  await machine.restore(snapshot)
  machine.serial.receive(Uint8Array.of(0x6c))
  expect([(await machine.run({ timeoutMs: 100_000 })).reason, text]).toEqual(['power-off', 'akl'])
  expect(await machine.powerButton()).toBe(false)
  machine.close()
})

test('all models of the board are in the Worker, the host bridge of the PCI bus too', async () => {
  // The low bytes of the identification of 00:00.0 and of the device identification: vendor 1b36, device 0008.
  const program = [movz(4, 0x40, 32), movk(4, 0x1000, 16), 0xb940_0083, ...UART, 0x3900_0023, 0xd350_fc63, 0x3900_0023]
  const served = async (devicePlacement?: StartArmBoardServer): Promise<unknown> => {
    const machine = await createArmMachine({
      memoryBytes: 4 << 20,
      kernel: image(...program, ...psci(8)),
      devicePlacement,
    })
    let text = ''
    machine.serial.onTransmit((bytes) => (text += String.fromCharCode(...bytes)))
    await machine.run({ timeoutMs: 100_000 })
    machine.close()
    const { devices } = machine.domain
    const { uart, rtc, gpio, fwCfg, virtio } = VIRT
    const places = [uart, rtc, gpio, fwCfg, virtio].map(({ base }) => devices.deviceAt('mmio', base))
    return [text, devices.functions.ownerAt(0), ...places]
  }
  expect(await served()).toEqual([
    '\u0036\u0008',
    'host-bridge',
    'pl011-9000000',
    'pl031',
    'pl061',
    'fw-cfg',
    'virtio-mmio-empty',
  ])
  // Virtio transports stay: their devices are the caller's.
  const elsewhere = Array.from({ length: 5 }, () => undefined)
  expect(await served(inWorker)).toEqual(['\u0036\u0008', ...elsewhere, 'virtio-mmio-empty'])
})

test('a machine whose device cannot be attached ends the Worker of its board', async () => {
  let isClosed = false
  const devicePlacement: StartArmBoardServer = (...given) => {
    const server = inWorker(...given)
    server.remote.onClosed(() => (isClosed = true))
    return server
  }
  const attach = (): void => {
    throw new Error('not here')
  }
  await expect(run({ devicePlacement, devices: [{ name: 'refuses', attach }] }, 0)).rejects.toThrow('not here')
  expect(isClosed).toBe(true)
})

test('machine memory has room for 64 vCPUs beside RAM', async () => {
  const program = [...UART, ...send('64'), ...psci(8)]
  expect(await run({ cpus: 64, memoryBytes: 64 << 20 }, ...program)).toEqual(['64', 'power-off'])
})

test('a kernel gets the device tree in X0, and resets the machine', async () => {
  // The tree's magic number, d0 0d fe ed, as four bytes to the console.
  const program = [0xb940_0003, ...UART]
  for (let i = 0; i < 4; i++) program.push(0x3900_0023, 0xd348_fc63) // strb w3, [x1]; lsr x3, x3, #8
  expect(await run({}, ...program, ...psci(9))).toEqual(['\u00d0\u000d\u00fe\u00ed', 'reset'])
})

test('configuration space without a function reads as ones', async () => {
  // Device 1 of bus 0: the high byte of its identification.
  const program = [movz(4, 0x40, 32), movk(4, 0x1000, 16), movk(4, 0x8000), 0xb940_0083, 0xd358_fc63]
  program.push(...UART, 0x3900_0023)
  expect(await run({}, ...program, ...psci(8))).toEqual(['\u00ff', 'power-off'])
})

test('ports of PCI devices lie in memory', async () => {
  const ports = { base: 0x1000, size: 8 }
  const device = defineDevice({ name: 'ports', ports, read: async (offset) => 0x20 + offset })
  // Port 0x1001, one that nobody has, and PCI memory that nobody has. ldrb w3, [x4, #1]; strb w3, [x1]; ldrb w3, [x4, #8]; …
  const program = [movz(4, 0x3eff, 16), movk(4, 0x1000), ...UART, 0x3940_0483, 0x3900_0023, 0x3940_2083, 0x3900_0023]
  program.push(movz(4, 0x1000, 16), 0x3940_0083, 0x3900_0023)
  expect(await run({ devices: [device] }, ...program, ...psci(8))).toEqual(['!\u00ff\u00ff', 'power-off'])
})

test('a device of the caller is asked, and a machine is stopped by its time', async () => {
  const device = defineDevice({ name: 'price', mmio: { base: 0x0b00_0000, size: 0x1000 }, read: async () => 0x21 })
  const program = [movz(4, 0x0b00, 16), 0xb940_0083, ...UART, 0x3900_0023, 0x1400_0000]
  const options = { devices: [device], clock: 'real' } as const
  const machine = await createArmMachine({ memoryBytes: 4 << 20, kernel: image(...program), ...options })
  let text = ''
  machine.serial.onTransmit((bytes) => (text += String.fromCharCode(...bytes)))
  expect(await machine.run({ timeoutMs: 2000 })).toEqual({ reason: 'timeout' })
  machine.close()
  expect(text).toBe('!')
})

test('what is no kernel, and a board that cannot be, are refused', async () => {
  const kernel = image()
  const refused = async (options: Partial<ArmMachineOptions>): Promise<unknown> =>
    createArmMachine({ memoryBytes: 4 << 20, kernel, ...options }).catch(({ code }: { code: string }) => code)
  expect(await refused({ cpus: 65 })).toBe('ERR_CPUS')
  expect(await refused({ cpus: 9, gic: 2 })).toBe('ERR_CPUS')
  expect(await refused({ memoryBytes: 4097 })).toBe('ERR_MEMORY_SIZE')
  expect(await refused({ kernel: '/boot/vmlinuz' as unknown as Uint8Array })).toBe('ERR_OPTION')
  expect(await refused({ kernel: new Uint8Array(100) })).toBe('ERR_FORMAT')
})
