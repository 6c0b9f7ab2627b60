// Times as people here write them: local, in the browser's language.

const hourMinute = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const dayMonth = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const dayMonthYear = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'short' });

const shortDay = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const shortDayYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', year: 'numeric' });

export const clock = (ts) => hourMinute.format(ts);
export const exact = (ts) => full.format(ts);
export const iso = (ts) => new Date(ts).toISOString();

// isoDay is the local day of a moment, 2025-03-09.
export function isoDay(ts) {
  const date = new Date(ts);
  const two = (n) => String(n).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

// dayOf returns the local day around ts as [start, end). Days have 23 to 25
// hours: never add 24.
export function dayOf(ts) {
  const date = new Date(ts);
  const midnight = (plus) => new Date(date.getFullYear(), date.getMonth(), date.getDate() + plus).getTime();
  return [midnight(0), midnight(1)];
}

export function dayName(ts, now) {
  const [today, tomorrow] = dayOf(now);
  if (ts >= today && ts < tomorrow) return 'Today';
  const [yesterday] = dayOf(today - 1);
  if (ts >= yesterday && ts < today) return 'Yesterday';
  const sameYear = new Date(ts).getFullYear() === new Date(now).getFullYear();
  return (sameYear ? dayMonth : dayMonthYear).format(ts);
}

// when says a moment in few words: the time today, else the day.
export function when(ts, now = Date.now()) {
  const [today] = dayOf(now);
  if (ts >= today) return clock(ts);
  const sameYear = new Date(ts).getFullYear() === new Date(now).getFullYear();
  return (sameYear ? shortDay : shortDayYear).format(ts);
}
