// A card of the caller's, a PCI function that adds up bytes. The Worker or process that has one imports this module.
import { setImmediate as turn } from 'node:timers/promises'
import type { DeviceModel } from '@retrap/device'
import { makeCard } from '../../../../../packages/device/examples/pci-card.ts'

/** What the host does meanwhile follows from no seed: a guest must not see it. */
export async function someTurns(): Promise<void> {
  // oxlint-disable-next-line no-await-in-loop -- one after the other
  for (let i = Math.floor(Math.random() * 4); i > 0; i--) await turn()
}

/** No device of the board's is there. */
const SLOT = 27

/** A card. */
export function newCard(): DeviceModel {
  const model = makeCard(async (bytes) => {
    await someTurns()
    return bytes.reduce((sum, byte) => sum + byte, 0)
  })
  return {
    ...model,
    attach: (context) =>
      model.attach({ ...context, pci: { add: (options) => context.pci.add({ ...options, device: SLOT }) } }),
  }
}

export const card: DeviceModel = newCard()
