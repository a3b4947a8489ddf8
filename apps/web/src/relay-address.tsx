/** Where a relay is. */
export function RelayAddress({ value, change }: { value: string; change: (value: string) => void }) {
  return (
    <label>
      Address of the relay
      <input
        type="url"
        required
        pattern="wss?://.+"
        title="An address that begins with wss:// or ws://"
        placeholder="wss://"
        value={value}
        onInput={(event) => change(event.currentTarget.value)}
      />
    </label>
  )
}
