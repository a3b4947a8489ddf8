/**
 * The device protocol, version 5: device models that are programs in any language. `PROTOCOL.md` is its document.
 *
 * @packageDocumentation
 */
export { decodeProtocolFrame, encodeProtocolFrame, ProtocolReader } from './coding.ts'
export { type DeclaredBar, type DeclaredDevice, Declarations, type ObjectKind } from './declared.ts'
export {
  type FieldType,
  FRAME_TABLE,
  type FrameKind,
  type FrameRow,
  type FrameWord,
  HEADER_BYTES,
  type MachineFrame,
  PROTOCOL_VERSION,
  type ProtocolFrame,
  type ServerFrame,
} from './frame-table.ts'
export { beyondLimits } from './limits.ts'
export { pciFunctionOptions } from './pci-options.ts'
export { ProtocolDevices, type ProtocolDevicesOptions } from './protocol-devices.ts'
export type { TransferBounds } from './protocol-model.ts'
