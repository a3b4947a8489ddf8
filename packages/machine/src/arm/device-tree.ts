import { cells64, DeviceTreeNode, writeDeviceTree } from '../device-tree/index.ts'
import { commandLineBytes } from '../loaders/guest-memory.ts'
import type { GuestRange } from '../loaders/memory-map.ts'
import {
  affinityOf,
  type ArmBoard,
  type ArmPlace,
  checkArmBoard,
  hasIts,
  POWER_BUTTON_LINE,
  PPI,
  VIRT,
} from './layout.ts'

// Cells of an interrupt (Linux, Documentation/devicetree/bindings/interrupt-controller/arm,gic.yaml).
const SPI = 0
const PPI_TYPE = 1
const EDGE_RISING = 1
const LEVEL_HIGH = 4
const LEVEL_LOW = 8
/** Bit position, in a GICv2 private interrupt's third cell, of the mask of processors. */
const CPU_MASK_SHIFT = 8

// Spaces of PCI addresses in their first cell (IEEE 1275 PCI Bus Binding 2.1, 2.2.1.1).
const PCI_PORTS = 0x0100_0000
const PCI_MEMORY = 0x0200_0000
const PCI_MEMORY64 = 0x0300_0000
const PCI_DEVICE_SHIFT = 11
const PCI_PINS = 4

/** COMMAND_LINE_SIZE of arm64, without the NUL. */
export const COMMAND_LINE_LIMIT = 2047
const APB_CLOCK_HZ = 24_000_000
/** Linux's code of the power key (linux/input-event-codes.h). */
const KEY_POWER = 116

// PSCI functions (Arm DEN 0022, table 4, "Function IDs").
const PSCI_CPU_SUSPEND = 0xc400_0001
const PSCI_CPU_OFF = 0x8400_0002
const PSCI_CPU_ON = 0xc400_0003
const PSCI_MIGRATE = 0xc400_0005

/** The loader's facts for the kernel, in the node `/chosen`. */
export interface ArmChosen {
  /** The kernel's command line; absent: no command line. */
  readonly commandLine?: string | undefined
  /** Range of the initial RAM disk; absent: no RAM disk. */
  readonly initrd?: GuestRange | undefined
  /** Random bytes for the kernel's own random numbers; absent: none. */
  readonly rngSeed?: Uint8Array | undefined
  /** Eight random bytes from which the kernel chooses its load address (KASLR); absent: none. */
  readonly kaslrSeed?: Uint8Array | undefined
}

/**
 * The device tree of the board `virt`, flattened.
 *
 * @throws MachineError `ERR_CPUS`, `ERR_MEMORY_SIZE`; LoaderError `ERR_COMMAND_LINE`
 *
 * Sources: Devicetree Specification 0.4; Linux, Documentation/devicetree/bindings.
 */
export function armDeviceTree(board: ArmBoard, chosen: ArmChosen = {}): Uint8Array {
  checkArmBoard(board)
  const { cpus, gic = 3 } = board
  let handles = 0
  const next = (): number => ++handles
  const root = DeviceTreeNode.root()
  const tree: Tree = { root, gic, its: hasIts(board), cpus, next }
  root
    .set('#address-cells', 2)
    .set('#size-cells', 2)
    .set('compatible', 'linux,dummy-virt')
    .set('model', 'linux,dummy-virt')
  addChosen(root, chosen)
  root
    .add(unit('memory', VIRT.ram))
    .set('device_type', 'memory')
    .set('reg', ...cells64(VIRT.ram.base, board.memoryBytes))
  addCpus(tree)
  const { controller, messages } = addInterruptController(tree)
  root.set('interrupt-parent', controller.phandle(next))
  addFirmwareCalls(root, board.psciConduit ?? 'hvc')
  addTimer(tree)
  addPeripherals(tree)
  for (const { compatible, spi, ...place } of board.deviceNodes ?? []) {
    const node = root.add(unit('device', place)).set('compatible', ...compatible)
    node.set('reg', ...ranges(place))
    if (spi !== undefined) node.set('interrupts', SPI, spi, LEVEL_HIGH)
  }
  if (board.flash !== false) addFlash(root)
  if (board.generation === true) addGeneration(root)
  addVirtio(root)
  addPcie(tree, controller, messages)
  if (board.hypervisor === 'xen') addXen(tree)
  return writeDeviceTree(root)
}

/** The tree that nodes are added to. */
interface Tree {
  readonly root: DeviceTreeNode
  readonly gic: 2 | 3
  readonly its: boolean
  readonly cpus: number
  readonly next: () => number
}

/** A node's name with its unit address. */
const unit = (name: string, { base }: Pick<ArmPlace, 'base'>): string => `${name}@${base.toString(16)}`

/** `reg` of a node: addresses and sizes of two cells. */
const ranges = (...places: readonly ArmPlace[]): number[] => places.flatMap(({ base, bytes }) => cells64(base, bytes))

function addChosen(root: DeviceTreeNode, { commandLine, initrd, rngSeed, kaslrSeed }: ArmChosen): void {
  const chosen = root.add('chosen').set('stdout-path', `/${unit('pl011', VIRT.uart)}`)
  if (commandLine !== undefined) chosen.set('bootargs', commandLineBytes(commandLine, COMMAND_LINE_LIMIT))
  if (initrd !== undefined) {
    chosen.set('linux,initrd-start', ...cells64(initrd.gpa))
    chosen.set('linux,initrd-end', ...cells64(initrd.gpa + initrd.bytes))
  }
  if (rngSeed !== undefined) chosen.set('rng-seed', rngSeed)
  if (kaslrSeed !== undefined) chosen.set('kaslr-seed', kaslrSeed)
}

function addCpus({ root, cpus, next }: Tree): void {
  const parent = root.add('cpus').set('#address-cells', 1).set('#size-cells', 0)
  const cluster = parent.add('cpu-map').add('socket0').add('cluster0')
  for (let cpu = 0; cpu < cpus; cpu++) {
    const affinity = affinityOf(cpu)
    const node = parent
      .add(`cpu@${affinity.toString(16)}`)
      .set('device_type', 'cpu')
      .set('compatible', 'arm,armv8')
      .set('reg', affinity)
    if (cpus > 1) node.set('enable-method', 'psci')
    cluster.add(`core${cpu}`).set('cpu', node.phandle(next))
  }
}

/** The interrupt controller, and the receiver of PCI functions' messages. */
interface Controllers {
  readonly controller: DeviceTreeNode
  readonly messages: DeviceTreeNode | null
}

function addInterruptController({ root, gic, its: present }: Tree): Controllers {
  const controller = root
    .add(unit('intc', VIRT.gicDistributor))
    .set('compatible', gic === 3 ? 'arm,gic-v3' : 'arm,cortex-a15-gic')
    .set('#interrupt-cells', 3)
    .set('interrupt-controller')
    .set('#address-cells', 2)
    .set('#size-cells', 2)
    .set('ranges')
    .set('reg', ...ranges(VIRT.gicDistributor, gic === 3 ? VIRT.gicRedistributors : VIRT.gicCpuInterface))
  if (gic === 3) controller.set('#redistributor-regions', 1)
  if (gic === 2) {
    const messages = controller
      .add(unit('v2m', VIRT.gicMessages))
      .set('compatible', 'arm,gic-v2m-frame')
      .set('msi-controller')
      .set('reg', ...ranges(VIRT.gicMessages))
    return { controller, messages }
  }
  if (!present) return { controller, messages: null }
  const messages = controller
    .add(unit('its', VIRT.gicIts))
    .set('compatible', 'arm,gic-v3-its')
    .set('msi-controller')
    .set('#msi-cells', 1)
    .set('reg', ...ranges(VIRT.gicIts))
  return { controller, messages }
}

function addFirmwareCalls(root: DeviceTreeNode, conduit: 'hvc' | 'smc'): void {
  root
    .add('psci')
    .set('compatible', 'arm,psci-1.0', 'arm,psci-0.2', 'arm,psci')
    .set('method', conduit)
    .set('cpu_suspend', PSCI_CPU_SUSPEND)
    .set('cpu_off', PSCI_CPU_OFF)
    .set('cpu_on', PSCI_CPU_ON)
    .set('migrate', PSCI_MIGRATE)
}

/** The third cell of a private interrupt that all processors have. */
const privateFlags = (level: number, { gic, cpus }: Tree): number =>
  level | (gic === 2 ? (2 ** cpus - 1) << CPU_MASK_SHIFT : 0)

/** Source: Linux, Documentation/devicetree/bindings/arm/xen.txt; Xen, docs/misc/arm/device-tree/guest.txt. */
function addXen(tree: Tree): void {
  tree.root
    .add('hypervisor')
    .set('compatible', 'xen,xen-4.17', 'xen,xen')
    .set('reg', ...ranges(VIRT.xenGrantTable))
    .set('interrupts', PPI_TYPE, PPI.xenEvents, privateFlags(LEVEL_LOW, tree))
}

function addTimer(tree: Tree): void {
  const flags = privateFlags(LEVEL_HIGH, tree)
  const interrupts = [PPI.secureTimer, PPI.physicalTimer, PPI.virtualTimer, PPI.hypervisorTimer]
  tree.root
    .add('timer')
    .set('compatible', 'arm,armv8-timer', 'arm,armv7-timer')
    .set('always-on')
    .set('interrupts', ...interrupts.flatMap((ppi) => [PPI_TYPE, ppi, flags]))
}

function addPeripherals({ root, next }: Tree): void {
  const clock = root
    .add('apb-pclk')
    .set('compatible', 'fixed-clock')
    .set('#clock-cells', 0)
    .set('clock-frequency', APB_CLOCK_HZ)
    .set('clock-output-names', 'clk24mhz')
    .phandle(next)
  const primeCell = (name: 'pl011' | 'pl031' | 'pl061', place: ArmPlace & { readonly spi: number }): DeviceTreeNode =>
    root
      .add(unit(name, place))
      .set('compatible', `arm,${name}`, 'arm,primecell')
      .set('reg', ...ranges(place))
      .set('interrupts', SPI, place.spi, LEVEL_HIGH)
      .set('clocks', clock)
      .set('clock-names', 'apb_pclk')
  primeCell('pl011', VIRT.uart).set('clocks', clock, clock).set('clock-names', 'uartclk', 'apb_pclk')
  primeCell('pl031', VIRT.rtc)
  const gpio = primeCell('pl061', VIRT.gpio).set('gpio-controller').set('#gpio-cells', 2).phandle(next)
  root
    .add('gpio-keys')
    .set('compatible', 'gpio-keys')
    .add('poweroff')
    .set('label', 'GPIO Key Poweroff')
    .set('linux,code', KEY_POWER)
    .set('gpios', gpio, POWER_BUTTON_LINE, 0)
  root
    .add(unit('fw-cfg', VIRT.fwCfg))
    .set('compatible', 'qemu,fw-cfg-mmio')
    .set('reg', ...ranges(VIRT.fwCfg))
    .set('dma-coherent')
}

function addFlash(root: DeviceTreeNode): void {
  const { base, bytes } = VIRT.flash
  root
    .add(unit('flash', VIRT.flash))
    .set('compatible', 'cfi-flash')
    .set('reg', ...ranges({ base, bytes }, { base: base + bytes, bytes }))
    .set('bank-width', 4)
}

/** Linux has a driver for it from 6.10 on (Documentation/devicetree/bindings/rng/microsoft,vmgenid.yaml). */
function addGeneration(root: DeviceTreeNode): void {
  root
    .add(unit('rng', VIRT.generation))
    .set('compatible', 'microsoft,vmgenid')
    .set('reg', ...ranges(VIRT.generation))
    .set('interrupts', SPI, VIRT.generation.spi, EDGE_RISING)
}

function addVirtio(root: DeviceTreeNode): void {
  const { base, bytes, spi, count } = VIRT.virtio
  for (let i = 0; i < count; i++) {
    const place = { base: base + i * bytes, bytes }
    root
      .add(unit('virtio_mmio', place))
      .set('compatible', 'virtio,mmio')
      .set('reg', ...ranges(place))
      .set('interrupts', SPI, spi + i, EDGE_RISING)
      .set('dma-coherent')
  }
}

function addPcie({ root, next }: Tree, controller: DeviceTreeNode, messages: DeviceTreeNode | null): void {
  const { pcie, pciePorts, pcieMemory, pcieMemory64 } = VIRT
  const windows = [
    ...[PCI_PORTS, ...cells64(0, pciePorts.base, pciePorts.bytes)],
    ...[PCI_MEMORY, ...cells64(pcieMemory.base, pcieMemory.base, pcieMemory.bytes)],
    ...[PCI_MEMORY64, ...cells64(pcieMemory64.base, pcieMemory64.base, pcieMemory64.bytes)],
  ]
  const node = root
    .add(unit('pcie', pcieMemory))
    .set('compatible', 'pci-host-ecam-generic')
    .set('device_type', 'pci')
    .set('#address-cells', 3)
    .set('#size-cells', 2)
    .set('linux,pci-domain', 0)
    .set('bus-range', 0, pcie.buses - 1)
    .set('dma-coherent')
    .set('reg', ...ranges(pcie))
    .set('ranges', ...windows)
    .set('#interrupt-cells', 1)
    .set('interrupt-map-mask', (PCI_PINS - 1) << PCI_DEVICE_SHIFT, 0, 0, 7)
    .set('interrupt-map', ...interruptMap(controller.phandle(next)))
  if (messages !== null) node.set('msi-map', 0, messages.phandle(next), 0, pcie.buses * 256)
}

/** Maps pins of the first four devices; further devices repeat the pattern (PCI-to-PCI Bridge 1.2, 9.1, "Interrupt Routing"). */
function interruptMap(controller: number): number[] {
  const rows: number[] = []
  for (let device = 0; device < PCI_PINS; device++)
    for (let pin = 0; pin < PCI_PINS; pin++) {
      const spi = VIRT.pcie.spi + ((device + pin) % PCI_PINS)
      rows.push(device << PCI_DEVICE_SHIFT, 0, 0, pin + 1, controller, 0, 0, SPI, spi, LEVEL_HIGH)
    }
  return rows
}
