package doppelboden

import "testing"

func TestTelephoneNumbersAreReadAsPeopleWriteThem(t *testing.T) {
	for written, want := range map[string]Phone{
		"0171/123 45-67": "+491711234567", "+49 (0)171 1234567": "+491711234567", "0049 171 1234567": "+491711234567",
		"+43 664 1234567": "+436641234567", " 030.1234567 ": "+49301234567", "(0211) 1234-56": "+49211123456",
		"": "", "1234567": "", "0171 abc": "", "+0171": "", "+4917112345678901234": "", "017": "", "+": "", "٠١٧١١٢٣٤٥٦٧": "",
	} {
		got, err := ParsePhone(written)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", written, got, err, want)
		}
		if err != nil && CodeOf(err) != Invalid {
			t.Errorf("%q: code %v, want invalid", written, CodeOf(err))
		}
	}
}
