import type { ArmDomain } from '@retrap/hvm/arm'
import { noKernel } from '../lifecycle/no-kernel.ts'
import type { MachineBoot } from '../machine/board.ts'
import { type ArmChosen, armDeviceTree } from './device-tree.ts'
import { type ArmBoard, VIRT } from './layout.ts'
import { loadArmKernel } from './load-kernel.ts'
import type { ResetImages } from '../lifecycle/machine-life.ts'
import type { ArmMachineOptions } from './machine-options.ts'

/** 32-bit words of the seed that the kernel's generator gets. */
const SEED_WORDS = 8

/** Brings an Arm board to its first instruction: the kernel's, or the firmware's in flash. */
export class VirtBoot implements MachineBoot {
  readonly #domain: ArmDomain
  readonly #options: ArmMachineOptions
  readonly #board: ArmBoard
  readonly #random: () => number
  #deviceTree: Uint8Array = new Uint8Array(0)

  /** @param random - 32 random bits a call */
  constructor(domain: ArmDomain, options: ArmMachineOptions, board: ArmBoard, random: () => number) {
    this.#domain = domain
    this.#options = options
    this.#board = board
    this.#random = random
  }

  /** The device tree that the guest finds at power-on; empty before that. */
  get deviceTree(): Uint8Array {
    return this.#deviceTree
  }

  async start(goesOn: boolean, given: ResetImages = {}): Promise<void> {
    const domain = this.#domain
    if (goesOn) return domain.reset()
    const { kernel, initrd, unzstd, commandLine } = { ...this.#options, ...given }
    const { guestMemory } = domain
    if (kernel === undefined && this.#board.flash !== true) throw noKernel()
    if (kernel === undefined || this.#board.flash === true) {
      // Firmware finds the tree at the beginning of RAM, and starts with the flash's first byte.
      guestMemory.load(VIRT.ram.base, this.#describe({}))
      domain.reset()
      return domain.vcpus[0]!.start(BigInt(VIRT.flash.base), BigInt(VIRT.ram.base))
    }
    const deviceTree = (placed: ArmChosen['initrd']): Uint8Array => this.#describe({ commandLine, initrd: placed })
    const { state } = await loadArmKernel(
      { ramBytes: this.#board.memoryBytes, write: (gpa, bytes) => guestMemory.load(gpa, bytes) },
      { kernel, initrd, unzstd, deviceTree },
    )
    domain.reset()
    domain.vcpus[0]!.start(BigInt(state.pc), BigInt(state.x[0]))
  }

  #describe(chosen: ArmChosen): Uint8Array {
    const seed = (words: number): Uint8Array => new Uint8Array(Uint32Array.from({ length: words }, this.#random).buffer)
    const seeds = { rngSeed: seed(SEED_WORDS), kaslrSeed: seed(2) }
    return (this.#deviceTree = armDeviceTree(this.#board, { ...chosen, ...seeds }))
  }
}
