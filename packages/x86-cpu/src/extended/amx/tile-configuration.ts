/** TILECFG: palette, first row, bytes of a row of each tile, rows of each tile (SDM vol. 2A, "LDTILECFG", memory layout). */
export const TILES = 8
export const ROW_BYTES = 64
export const ROWS = 16
/** Offsets. */
export const C_START_ROW = 1
const C_RESERVED = 2
export const C_ROW_BYTES = 16
export const C_ROWS = 48

/** Whether LDTILECFG takes a configuration, which is 64 bytes. */
export function isTileConfiguration(bytes: Uint8Array): boolean {
  const [palette] = bytes
  if (palette === 0) return true
  if (palette !== 1) return false
  const reserved = [
    bytes.subarray(C_RESERVED, C_ROW_BYTES),
    bytes.subarray(C_ROW_BYTES + 2 * TILES, C_ROWS),
    bytes.subarray(C_ROWS + TILES),
  ]
  if (reserved.some((part) => part.some((byte) => byte !== 0))) return false
  for (let tile = 0; tile < TILES; tile++) {
    const rowBytes = bytes[C_ROW_BYTES + 2 * tile]! | (bytes[C_ROW_BYTES + 2 * tile + 1]! << 8)
    const rows = bytes[C_ROWS + tile]!
    if (rowBytes > ROW_BYTES || rows > ROWS || (rowBytes === 0) !== (rows === 0)) return false
  }
  return true
}
