/** Names of exceptions by vector (SDM vol. 3A, "Exceptions and Interrupts"). */
export const VECTOR_NAMES: readonly (string | undefined)[] =
  '#DE #DB #NMI #BP #OF #BR #UD #NM #DF - #TS #NP #SS #GP #PF - #MF #AC #MC #XM #VE #CP'
    .split(' ')
    .map((name) => (name === '-' ? undefined : name))
