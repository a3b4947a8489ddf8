import { AcpiPm, HostBridge, IsaBridge } from '@retrap/devices'
import { CHIPSETS } from '../machine-type.ts'
import type { BoardDescription, BoardHooks, Chipset, CreateChipset } from './board.ts'

/** Loads the function that makes a board's chipset, with Xen's platform device for a guest that sees Xen. */
export async function loadChipset({ machine, xen }: Pick<BoardDescription, 'machine' | 'xen'>): Promise<CreateChipset> {
  const createChipset = machine === 'pc' ? createI440fx : (await import('./q35.ts')).createQ35
  return xen ? (await import('./xen-platform.ts')).withXenPlatform(createChipset) : createChipset
}

/** Makes an i440FX with a PIIX3. */
function createI440fx({ firmware, xen }: BoardDescription, hooks: BoardHooks): Chipset {
  const { isaBridgeDevice } = CHIPSETS.pc
  const { systemManagement } = hooks
  const isaBridge = new IsaBridge({ device: isaBridgeDevice })
  // Firmware finds the power management on the PCI bus; kernels find it by the ACPI tables.
  const pm = new AcpiPm({
    ...(!xen && { onSleep: () => hooks.sleep(), onWake: () => hooks.wake() }),
    ...(firmware && { pciDevice: isaBridgeDevice }),
    ...(systemManagement && { onSmi: (acpi) => !acpi && systemManagement.smi(false) }),
  })
  const bridge = new HostBridge({
    onShadow: (range) => hooks.shadow(range),
    isAsleep: () => pm.isAsleep,
    ...(systemManagement && { onSmram: (settings) => systemManagement.apply(settings) }),
  })
  return { bridges: [bridge, isaBridge], isaBridge, pm }
}
