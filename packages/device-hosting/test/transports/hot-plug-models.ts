import { type DeviceModel, defineDevice, type DeviceContext, type PciFunction } from '@retrap/device'

/* Where the models are; bus 1 is below the port. */
export const PORT_DEVICE = 5
export const CARD_BAR = 0xe000_0000
/** Registers of the port: what has happened (1 come, 2 asked for, 3 gone), and power. */
export const EVENT = 0x40
export const POWER = 0x44
/** Registers of the card: identity, where to write, and a register that is read late. */
export const IDENTITY = 0
export const TARGET = 4
export const LATE = 8
/** Register of the port: ends the card's work. */
export const FINISH = 0x48
export const CARD_IDENTITY = 0xcafe

/** Ends what the card has under way. */
let finish: () => void = () => {}

function makePort(): DeviceModel {
  let fn: PciFunction
  const tell = (event: number): void => void (fn.config[EVENT] = event)
  return defineDevice({
    name: 'port',
    synchronous: true,
    stateless: true,
    attach(context) {
      fn = context.pci.add({
        device: PORT_DEVICE,
        vendorId: 0x1234,
        deviceId: 1,
        classCode: 0x06_0400,
        bridge: {
          busName: 'slot',
          slot: { inserted: () => tell(1), requested: () => tell(2), removed: () => tell(3) },
        },
        writable: [
          [POWER, 1],
          [FINISH, 1],
        ],
        onWrite: (register) => {
          if (register === FINISH) finish()
          if (register !== POWER) return
          if (fn.config[POWER] === 1) return fn.slot!.connect()
          void fn.slot!.disconnect().then(() => fn.slot!.release())
        },
      })
    },
  })
}

/** A card that writes to memory when its host lets it. */
function makeCard(): DeviceModel {
  let context: DeviceContext
  let fn: PciFunction
  let work: Promise<void> = Promise.resolve()
  let run = 0
  const begin = async (gpa: number): Promise<void> => {
    const own = run
    await new Promise<void>((resolve) => void (finish = resolve))
    if (own === run && fn.mayMaster) await context.dma.writeAsync(gpa, Uint8Array.of(0xff))
  }
  return defineDevice({
    name: 'card',
    stateless: true,
    attach(given) {
      context = given
      fn = given.pci.add({
        bus: 'slot',
        device: 0,
        vendorId: 0x1234,
        deviceId: 2,
        classCode: 0x02_0000,
        bars: [
          {
            index: 0,
            kind: 'memory',
            bytes: 4096,
            minimumAccess: 4,
            handler: {
              read: (offset) => (offset === LATE ? new Promise(() => {}) : CARD_IDENTITY),
              write: (offset, _size, value) => {
                if (offset === TARGET) work = begin(value)
              },
            },
          },
        ],
      })
    },
    reset: () => void run++,
    quiesce: () => work,
  })
}

/** The models of a program that hot plug is tested with. */
export const port: DeviceModel = makePort()
export const pluggable: Readonly<Record<string, () => DeviceModel>> = { card: makeCard }
