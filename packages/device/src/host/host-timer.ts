/** Longest delay of a host timer in milliseconds; a longer one would fire at once. */
export const LONGEST_HOST_TIMER_MS = 0x7fff_ffff
