// Arm boards. Loaded when one is wanted.
import type { PcOptions } from '@retrap/machine'
import { type ArmMachine, createArmMachine, prepareArmMachine } from '@retrap/machine/arm'
import { armSnapshot, type ReadSnapshot } from './read-snapshot.ts'

/** Makes the code that Arm boards share, while their images are on their way. */
export const prepare = (jit: boolean): void => prepareArmMachine({ jit })

/**
 * Makes an Arm board with what a PC of these options has.
 *
 * @param snapshot - that it goes on from; null: it is switched on
 * @throws MachineError; LoaderError
 */
export async function createArmBoard(options: PcOptions, snapshot: ReadSnapshot | null): Promise<ArmMachine> {
  const { memoryBytes, cpus, kernel, initrd, commandLine, drives, virtio, networkCards, usb, vga } = options
  const { hypervisor, screen, keyboard, mouse, jit } = options
  return createArmMachine({
    ...{ memoryBytes, cpus, kernel, initrd, commandLine, drives, virtio, networkCards, usb, vga },
    ...{ hypervisor, screen, keyboard, mouse },
    jit: jit !== undefined && jit !== false,
    ...(snapshot !== null && { snapshot: armSnapshot(snapshot) }),
  })
}
