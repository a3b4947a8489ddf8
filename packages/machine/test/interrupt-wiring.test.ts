import { readFileSync } from 'node:fs'
import { defineDevice, type PciFunction } from '@retrap/device'
import { debianMembers } from '@retrap/tooling/debian'
import { TEST_JIT } from '@retrap/tooling/jit'
import { describe, expect, test } from 'vitest'
import { RemoteBoard } from '../src/board/remote-board.ts'
import { createPc, type MachineType, type Pc } from '../src/index.ts'

const MIB = 1 << 20
const SLOTS = [2, 3, 4, 5, 6] as const
const PINS = [1, 2, 3, 4] as const
/** The route registers that the $PIR table names, as configuration mechanism 1 addresses them. */
const ROUTES = 0x8000_0860
const ENTRY_BYTES = 16
const SLAVE_PIC = 0xa0
const READ_IRR = 0x0a

const seabios = await debianMembers([{ package: 'seabios', members: ['./usr/share/seabios/bios-256k.bin'] }])
if (seabios === undefined) test.skip('interrupts as SeaBIOS wires them (skipped: its package cannot be fetched)')

/** Boots SeaBIOS with a card in each slot that has one function for each pin. */
async function boot(cards: Map<number, PciFunction>, machine: MachineType = 'pc'): Promise<Pc> {
  const devices = SLOTS.map((device) =>
    defineDevice({
      name: `card-${device}`,
      synchronous: true,
      stateless: true,
      attach({ pci }) {
        for (const pin of PINS) {
          const given = { vendorId: 0x1234, deviceId: 0x5678, classCode: 0xff_0000, headerType: 0x80 }
          cards.set(device * 8 + pin, pci.add({ ...given, device, function: pin - 1, interruptPin: pin }))
        }
      },
    }),
  )
  const firmware = new Uint8Array(readFileSync(`${seabios?.[0] ?? ''}/usr/share/seabios/bios-256k.bin`))
  const options = { memoryBytes: 16 * MIB, codeCacheBytes: 4 * MIB, jit: TEST_JIT, firmware, devices, machine }
  const pc = await createPc(options)
  const ended = new AbortController()
  let printed = ''
  pc.serial.onTransmit((bytes) => {
    printed += String.fromCharCode(...bytes)
    if (printed.includes('No bootable device')) ended.abort()
  })
  await pc.run({ timeoutMs: 60_000, signal: ended.signal })
  expect(printed).toContain('No bootable device')
  return pc
}

/** The route registers that the $PIR table names, by slot and pin (PCI BIOS Specification 2.1, "Get Routing Options"). */
function routingTable(pc: Pc): Map<number, number> {
  const area = new Uint8Array(0x1_0000)
  pc.domain.guestMemory.read(0xf_0000, area)
  const at = Buffer.from(area).indexOf('$PIR')
  const bytes = area[at + 6]! | (area[at + 7]! << 8)
  const links = new Map<number, number>()
  for (let entry = at + 32; entry < at + bytes; entry += ENTRY_BYTES) {
    for (const pin of PINS) links.set((area[entry + 1]! >> 3) * 8 + pin, area[entry + 2 + 3 * (pin - 1)]!)
  }
  return links
}

describe.runIf(seabios !== undefined)('the interrupt wires of PCI slots', () => {
  test('lead where SeaBIOS says, in the $PIR table and in interrupt line registers', async () => {
    const cards = new Map<number, PciFunction>()
    const pc = await boot(cards)
    const { dispatch } = pc.domain
    const read = (port: number, size: 1 | 4): number => {
      dispatch.portRead(port, size)
      return dispatch.lo >>> 0
    }
    dispatch.portWrite(0xcf8, 4, ROUTES)
    const routes = read(0xcfc, 4)
    const links = routingTable(pc)
    dispatch.portWrite(SLAVE_PIC, 1, READ_IRR)
    const idle = read(SLAVE_PIC, 1)
    const seen = [...cards].map(([key, { interrupt, config }]) => {
      interrupt?.set(true)
      const risen = read(SLAVE_PIC, 1) & ~idle
      interrupt?.set(false)
      const route = (routes >>> (8 * ((links.get(key) ?? 0) - 0x60))) & 0xff
      return { key, lineRegister: 1 << (config[0x3c]! - 8), table: 1 << (route - 8), wire: risen }
    })
    expect(seen).toHaveLength(20)
    expect(new Set(seen.map(({ wire }) => wire)).size).toBe(2)
    expect(seen.filter(({ lineRegister, table, wire }) => lineRegister !== wire || table !== wire)).toEqual([])
  })

  test('of a Q35 lead where interrupt line registers say', async () => {
    const cards = new Map<number, PciFunction>()
    const { dispatch } = (await boot(cards, 'q35')).domain
    const risen = (): number => {
      dispatch.portWrite(SLAVE_PIC, 1, READ_IRR)
      dispatch.portRead(SLAVE_PIC, 1)
      return dispatch.lo
    }
    const idle = risen()
    const seen = [...cards].map(([key, { interrupt, config }]) => {
      interrupt?.set(true)
      const wire = risen() & ~idle
      interrupt?.set(false)
      return { key, lineRegister: 1 << (config[0x3c]! - 8), wire }
    })
    expect(seen).toHaveLength(20)
    expect(new Set(seen.map(({ wire }) => wire)).size).toBe(2)
    expect(seen.filter(({ lineRegister, wire }) => lineRegister !== wire)).toEqual([])
  })
})

test('functions that share a pin of a board in a Worker are ORed there too', () => {
  const posted: string[] = []
  const remote = { post: (bytes: Uint8Array) => void posted.push(bytes.subarray(1).join(' ')) }
  const board = new RemoteBoard(() => ({ remote }) as never, true, {} as never)
  const [port, behind, other] = [board.interruptInput(4, 1), board.interruptInput(4, 1), board.interruptInput(4, 2)]
  behind.set(true)
  port.set(true)
  port.set(false)
  port.pulse()
  other.set(true)
  expect(posted).toEqual(['4 1 1', '4 2 1'])
  behind.set(false)
  expect(posted.at(-1)).toBe('4 1 0')
})
